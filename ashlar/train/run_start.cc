#include "ashlar/train/run_start.h"

#include "ashlar/base/cpu.h"
#include "ashlar/base/error.h"
#include "ashlar/base/log.h"
#include "ashlar/bundle/bundle.h"

namespace ashlar::train {
namespace {

// Dropout and the balance of experts may change from start to start, and checkpoints are f32
// whatever the model came in.
std::string description(models::DecoderConfig config) {
  config.dtype = DType::kF32;
  return models::write_config(config.as_inference());
}

}  // namespace

RunStart find_start(const TrainConfig& config, IsaTier tier, comm::Communicator* comm) {
  RunStart start;
  start.state.seed = static_cast<uint64_t>(config.train.seed);
  if (!config.run.resume) {
    const std::vector<int64_t> steps = list_checkpoints(config.run.dir);
    ASHLAR_CHECK(steps.empty(),
                 "run.dir {}: holds a run with checkpoints up to step {}; go on with --resume, or "
                 "choose another run.dir",
                 config.run.dir, steps.back());
    return start;
  }
  const auto step = find_checkpoint(config.run.dir, comm);
  if (!step) {
    log::info("event=resume dir={} found=nothing first_step=1", config.run.dir);
    return start;
  }
  start.checkpoint = checkpoint_folder(config.run.dir, *step);
  start.state = read_trainer_state(start.checkpoint);
  log::info("event=resume checkpoint={} first_step={}", start.checkpoint, start.first_step());
  if (start.state.tier != name(tier)) {
    log::warn("event=resume_tier was={} now={} note=\"results will differ in their last bits\"",
              start.state.tier, name(tier));
  }
  return start;
}

void check_same_training(const RunStart& start, const models::DecoderConfig& model,
                         const std::string& optimizer) {
  ASHLAR_CHECK(
      description(bundle::Bundle::open(start.checkpoint).description()) == description(model),
      "resume: {} holds another model than the configuration describes (its config.json "
      "differs); restore the keys under model., or choose another run.dir",
      start.checkpoint);
  ASHLAR_CHECK(start.state.optimizer == optimizer,
               "resume: {} was trained with train.optimizer={}, now it is {}; its moments do not "
               "fit",
               start.checkpoint, start.state.optimizer, optimizer);
}

}  // namespace ashlar::train
