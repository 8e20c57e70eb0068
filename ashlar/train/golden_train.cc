#include "ashlar/train/golden_train.h"

#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/base/json.h"
#include "ashlar/bundle/bundle.h"
#include "ashlar/bundle/model_path.h"
#include "ashlar/train/model_source.h"
#include "ashlar/train/training_step.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

namespace ashlar::train {
namespace {

using Json = nlohmann::json;
using Rows = std::vector<std::vector<int64_t>>;

constexpr double kLossTolerance = 1e-4;     // of losses and global norms
constexpr double kRelativeGradient = 1e-3;  // of a parameter's norm,
constexpr double kGradientOfGlobal = 1e-6;  // plus this of the global norm

struct Golden {
  Rows inputs, targets;
  double cross_entropy = 0;
  std::optional<double> aux_loss;  // of a mixture of experts
  std::map<std::string, double> grad_norms;
  std::vector<std::pair<double, double>> steps;  // loss and gradient norm before each update
  double lr = 0;
  UpdateRule rule;
};

Golden parse(const Json& train, const std::string& source) {
  try {
    Golden golden;
    golden.inputs = train.at("input_ids").get<Rows>();
    golden.targets = train.at("target_ids").get<Rows>();
    golden.cross_entropy = train.at("cross_entropy").get<double>();
    const Json aux_loss = train.value("aux_loss", Json());  // null in models without experts
    if (!aux_loss.is_null()) golden.aux_loss = aux_loss.get<double>();
    golden.grad_norms = train.at("grad_norms").get<std::map<std::string, double>>();
    const Json& adamw = train.at("adamw");
    golden.lr = adamw.at("lr").get<double>();
    golden.rule.adamw.beta1 = adamw.at("betas").at(0).get<double>();
    golden.rule.adamw.beta2 = adamw.at("betas").at(1).get<double>();
    golden.rule.adamw.eps = adamw.at("eps").get<double>();
    golden.rule.adamw.weight_decay = adamw.at("weight_decay").get<double>();
    golden.rule.clip = adamw.at("clip_norm").get<double>();
    golden.rule.decay = Decay::kAll;
    golden.steps = adamw.at("loss_and_grad_norm").get<std::vector<std::pair<double, double>>>();
    const auto refuse_empty = [&source](bool empty, const char* key) {
      ASHLAR_CHECK(!empty, "{}: section train: {} is empty: leave the section out to check nothing",
                   source, key);
    };
    refuse_empty(golden.grad_norms.empty(), "grad_norms");
    refuse_empty(golden.steps.empty(), "adamw.loss_and_grad_norm");
    return golden;
  } catch (const Json::exception& error) {
    fail("{}: section train: {}", source, json_reason(error.what()));
  }
}

data::StepBatch make_batch(const Golden& golden, const models::DecoderConfig& config,
                           const std::string& source) {
  data::Batch batch;
  batch.rows = static_cast<int64_t>(golden.inputs.size());
  ASHLAR_CHECK(batch.rows > 0 && golden.targets.size() == golden.inputs.size(),
               "{}: section train: {} rows of input_ids, {} of target_ids", source,
               golden.inputs.size(), golden.targets.size());
  batch.seq = static_cast<int64_t>(golden.inputs[0].size());
  ASHLAR_CHECK(batch.seq > 0 && batch.seq <= config.max_positions,
               "{}: section train: rows of {} ids, the model takes 1 to {}", source, batch.seq,
               config.max_positions);
  const auto check_id = [&](const char* key, int64_t id, int64_t least) {
    ASHLAR_CHECK(id >= least && id < config.vocab,
                 "{}: section train: {} has the id {}, the model's vocabulary {} tokens", source,
                 key, id, config.vocab);
    return static_cast<int32_t>(id);
  };
  for (size_t row = 0; row < golden.inputs.size(); ++row) {
    const auto& inputs = golden.inputs[row];
    const auto& targets = golden.targets[row];
    ASHLAR_CHECK(std::ssize(inputs) == batch.seq && targets.size() == inputs.size(),
                 "{}: section train: rows are not all of length {}", source, batch.seq);
    batch.row_start.push_back(static_cast<int32_t>(batch.tokens.size()));
    for (size_t i = 0; i < inputs.size(); ++i) {
      batch.tokens.push_back(check_id("input_ids", inputs[i], 0));
      // Of the ids below 0, which mark what is not counted, transformers writes -100.
      batch.targets.push_back(check_id("target_ids", targets[i], -100));
      batch.positions.push_back(static_cast<int32_t>(i));
      batch.valid_tokens += targets[i] >= 0;
    }
  }
  batch.row_start.push_back(static_cast<int32_t>(batch.tokens.size()));
  data::StepBatch step;
  step.valid_tokens = batch.valid_tokens;
  step.microbatches.push_back(std::move(batch));
  return step;
}

// The part of a parameter's gradient that belongs to one of the file's tensors.
Tensor gradient_of(const models::WeightRule& rule, const std::string& parameter,
                   TrainingStep& step) {
  const Tensor gradient = step.store().at(step.gradient_of().at(parameter));
  return rule.index ? gradient.rows(*rule.index, *rule.index + 1) : gradient;
}

double sum_of_squares(const Tensor& tensor) {
  double sum = 0;
  for (const float value : tensor.span<float>()) {
    sum += static_cast<double>(value) * static_cast<double>(value);
  }
  return sum;
}

// Norms of the gradients of the file's tensors, each of which may hold several parameters.
void check_gradients(const Golden& golden, const models::DecoderConfig& config, TrainingStep& step,
                     const std::string& source, std::vector<GoldenCheck>& checks) {
  double global = 0;
  for (const auto& [name, norm] : golden.grad_norms) global += norm * norm;
  global = std::sqrt(global);
  std::map<std::string, double> found;
  for (const models::WeightRule& rule : models::weight_rules(config)) {
    double sum = 0;
    for (const std::string& parameter : rule.parameters) {
      if (!step.gradient_of().contains(parameter)) continue;  // no gradient reaches it
      sum += sum_of_squares(gradient_of(rule, parameter, step));
    }
    found[rule.tensor] = std::sqrt(sum);
  }
  for (const auto& [name, wanted] : golden.grad_norms) {
    ASHLAR_CHECK(found.contains(name),
                 "{}: section train: grad_norms names '{}', which is no "
                 "tensor of the model",
                 source, name);
    checks.push_back({"grad_norm " + name, found.at(name), wanted,
                      kRelativeGradient * std::abs(wanted) + kGradientOfGlobal * global});
  }
}

}  // namespace

bool GoldenCheck::passed() const { return std::abs(found - wanted) <= allowed; }

bool GoldenTrain::passed() const { return std::ranges::all_of(checks, &GoldenCheck::passed); }

const GoldenCheck* GoldenTrain::worst() const {
  const auto share = [](const GoldenCheck& check) {
    return std::abs(check.found - check.wanted) / check.allowed;
  };
  const auto found = std::ranges::max_element(checks, {}, share);
  return found == checks.end() ? nullptr : &*found;
}

std::optional<GoldenTrain> check_golden_train(const std::string& model, ThreadPool& pool,
                                              IsaTier tier) {
  const bundle::Bundle bundle = bundle::Bundle::open(model);
  const std::string source = bundle::beside_model(model, "golden.json");
  const Json json = read_json<Json>(source);
  if (!json.contains("train")) return std::nullopt;
  const Golden golden = parse(json.at("train"), source);
  const data::StepBatch batch = make_batch(golden, bundle.description(), source);
  const data::Batch& rows = batch.microbatches[0];

  const StepSpec spec{.model = bundle.description().without_dropout(),
                      .update = golden.rule,
                      .max_tokens = rows.rows * rows.seq,
                      .max_seqs = rows.rows};
  TrainingGraph training = build_training_graph(spec);
  runtime::VariableStore store;
  load_parameters(bundle, training.graph, store);
  TrainingStep step(std::move(training), spec, store, kernels::kernel_table(tier), pool);

  GoldenTrain result;
  for (size_t i = 0; i < golden.steps.size(); ++i) {
    const StepResult found = step.run(batch, 0, static_cast<int64_t>(i) + 1, golden.lr);
    if (i == 0) {
      result.checks.push_back({"cross_entropy", found.loss, golden.cross_entropy, kLossTolerance});
      if (golden.aux_loss) {
        result.checks.push_back({"aux_loss", found.aux_loss, *golden.aux_loss, kLossTolerance});
      }
      check_gradients(golden, spec.model, step, source, result.checks);
    }
    const auto [loss, norm] = golden.steps[i];
    result.checks.push_back(
        {fmt::format("adamw step {} loss", i + 1), found.loss, loss, kLossTolerance});
    result.checks.push_back(
        {fmt::format("adamw step {} grad_norm", i + 1), found.grad_norm, norm, kLossTolerance});
  }
  return result;
}

}  // namespace ashlar::train
