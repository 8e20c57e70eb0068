#include "ashlar/train/evaluate.h"

#include "ashlar/base/clock.h"
#include "ashlar/base/error.h"
#include "ashlar/bundle/bundle.h"
#include "ashlar/models/decoder_graphs.h"
#include "ashlar/train/model_source.h"
#include "ashlar/train/validation.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace ashlar::train {
namespace {

constexpr int64_t kDefaultSeq = 1024;

}  // namespace

std::string Evaluation::to_json() const {
  nlohmann::ordered_json json = {{"loss", loss},
                                 {"perplexity", perplexity},
                                 {"bits_per_byte", nullptr},
                                 {"tokens", tokens},
                                 {"text_bytes", text_bytes},
                                 {"seconds", seconds},
                                 {"tokens_per_s", tokens_per_s}};
  if (bits_per_byte) json["bits_per_byte"] = *bits_per_byte;
  return json.dump();
}

Evaluation evaluate(const EvaluateOptions& options) {
  const bundle::Bundle bundle = bundle::Bundle::open(options.model);
  const models::DecoderConfig& config = bundle.description();
  const int64_t seq = options.seq > 0 ? options.seq : std::min(config.max_positions, kDefaultSeq);
  ASHLAR_CHECK(seq <= config.max_positions, "eval: {} tokens a row, {} has positions for {}", seq,
               options.model, config.max_positions);
  ThreadPool pool(options.threads > 0 ? options.threads : cpu_info().logical_cores, options.pin);
  const auto encoder =
      open_encoder(options.data.tokenizer.empty() ? bundle.path() : options.data.tokenizer);
  ASHLAR_CHECK(encoder.vocab_size() <= config.vocab,
               "eval: the tokenizer has {} tokens, the model {} an embedding of {} rows",
               encoder.vocab_size(), options.model, config.vocab);
  const data::Dataset data =
      data::Dataset::open_train(options.data, seq, encoder, pool, masking_of(config, encoder, {}));

  runtime::VariableStore store;
  load_parameters(bundle, models::build_evaluation(config), store);
  Validation validation(config, options.dtype, Master::kF32, data, options.batch, store,
                        kernels::kernel_table(options.tier.value_or(best_isa_tier())), pool);
  const SteadyClock clock;
  const double begin = clock.now();
  const MeanLoss loss = validation.run(options.max_batches);

  Evaluation result;
  result.seconds = clock.now() - begin;
  result.loss = loss.mean();
  result.perplexity = std::exp(result.loss);
  result.tokens = loss.tokens;
  result.text_bytes = data.text_bytes();
  result.tokens_per_s = static_cast<double>(loss.tokens) / result.seconds;
  const bool all_count =
      std::ranges::none_of(data.sources(), [](const auto& source) { return source->has_mask(); });
  if (config.causal && loss.complete && all_count && result.text_bytes > 0) {
    result.bits_per_byte = loss.sum / std::numbers::ln2 / static_cast<double>(result.text_bytes);
  }
  return result;
}

}  // namespace ashlar::train
