#include "ashlar/cli/text_model.h"

#include "ashlar/base/error.h"
#include "ashlar/base/human.h"
#include "ashlar/base/log.h"
#include "ashlar/cli/flag_checks.h"
#include "ashlar/cli/token_ids.h"
#include "ashlar/kernels/table.h"

#include <algorithm>
#include <map>

namespace ashlar::cli {
namespace {

constexpr int64_t kCacheBytes = int64_t{2}
                                << 30;  // of one sequence, where no context was asked for

generate::ModelOptions options_for(const ModelFlags& flags, const generate::HeldWeights& held,
                                   const models::DecoderConfig& config,
                                   generate::RunnerLimits limits, int64_t sequences) {
  generate::ModelOptions options;
  options.hold(held);
  options.pack_later = true;
  limits.context = flags.context;
  if (limits.context == 0) {
    const int64_t token_bytes = config.cached_per_token() * size_of(options.cache);
    const int64_t most = std::max<int64_t>(kCacheBytes / token_bytes, generate::kBlockTokens);
    if (config.max_positions > most) {
      limits.context = most;
      log::info("context={} of {} tokens: a cache of {}; --context asks for another", most,
                config.max_positions, human_bytes(double(kCacheBytes)));
    }
  }
  options.limits = limits;
  options = generate::resolve(options, config);
  options.blocks *= sequences;
  return options;
}

std::optional<text::Tokenizer> tokenizer_of(const bundle::Bundle& bundle) {
  if (!bundle.has_tokenizer()) return std::nullopt;
  text::Tokenizer tokenizer = bundle.load_tokenizer();
  tokenizer.drop_length_rules();
  return tokenizer;
}

}  // namespace

void ModelFlags::add_to(CLI::App& app) {
  app.add_option("MODEL", model, "Model directory, GGUF file or name in the Hugging Face cache")
      ->required()
      ->option_text(" ");
  app.add_option("--context", context, "Most tokens of prompt and answer (default: the model's)")
      ->check(positive())
      ->option_text("N");
  app.add_option("--dtype", dtype,
                 "Of the weights: f32, bf16, f16, q8_0, q4_0, q4_k or q6_k (default: the "
                 "file's own)")
      ->transform(weight_dtype())
      ->option_text("DTYPE");
}

TextModel::TextModel(const ModelFlags& flags, const MachineFlags& machine,
                     generate::RunnerLimits limits, int64_t sequences)
    : TextModel(bundle::Bundle::open(flags.model), flags, machine, limits, sequences) {}

TextModel::TextModel(bundle::Bundle model, const ModelFlags& flags, const MachineFlags& machine,
                     generate::RunnerLimits limits, int64_t sequences)
    : bundle_(std::move(model)),
      loading_tokenizer_(std::async(std::launch::async, [this] { return tokenizer_of(bundle_); })),
      held_(generate::held_weights(bundle_, flags.dtype)),
      pool_(machine.threads, machine.pin),
      runner_(generate::open_model(bundle_,
                                   options_for(flags, held_, bundle_.config(), limits, sequences),
                                   kernels::kernel_table(machine.tier), pool_)),
      tokenizer_(loading_tokenizer_.get()),
      generator_(*runner_, tokenizer_ ? &*tokenizer_ : nullptr) {}

const text::Tokenizer& TextModel::tokenizer() const {
  if (!tokenizer_) bundle_.load_tokenizer();  // says what is missing
  return *tokenizer_;
}

std::vector<int32_t> TextModel::encode(const std::string& prompt, bool add_special_tokens) const {
  std::vector<int32_t> ids = tokenizer().encode(prompt, add_special_tokens);
  check_token_ids(ids, bundle_.config().vocab);  // a tokenizer of another model
  return ids;
}

std::vector<int32_t> TextModel::end_tokens() const {
  std::vector<int32_t> ends;
  for (const int64_t id : bundle_.generation().eos) ends.push_back(static_cast<int32_t>(id));
  return ends;
}

std::vector<float> TextModel::logits(std::span<const int32_t> ids) {
  const auto total = static_cast<int64_t>(ids.size());
  ASHLAR_CHECK(total <= runner_->max_context(),
               "{} token ids are more than the context of {}; give fewer, or a larger --context",
               total, runner_->max_context());
  generate::KvPool pool(runner_->blocks());
  generate::BlockTable table(pool, {});
  ASHLAR_CHECK(table.grow(total), "the cache has no room for {} tokens", total);
  for (int64_t done = 0;;) {
    const int64_t count = std::min(total - done, runner_->limits().tokens);
    const bool last = done + count == total;
    const generate::SequencePiece piece{
        ids.subspan(static_cast<size_t>(done), static_cast<size_t>(count)), done, table.blocks(),
        last ? 1 : 0, total};
    const generate::Logits logits = runner_->run({&piece, 1});
    done += count;
    if (last) {
      const std::span<const float> row = logits.row(0);
      return {row.begin(), row.end()};
    }
  }
}

}  // namespace ashlar::cli
