#include "ashlar/cli/serve_model.h"

#include "ashlar/base/file.h"

#include <fmt/format.h>

#include <chrono>
#include <optional>
#include <utility>
#include <vector>

namespace ashlar::cli {
namespace {

constexpr int64_t kMaxTemplate = int64_t{1} << 20;  // bytes

serve::Sampling sampling_defaults(const bundle::GenerationConfig& model,
                                  const ServeConfig& config) {
  serve::Sampling sampling;
  if (config.seed) sampling.seed = static_cast<uint64_t>(*config.seed);
  if (config.sampling_defaults == SamplingDefaults::kNeutral) return sampling;
  sampling.temperature = model.temperature.value_or(sampling.temperature);
  sampling.top_p = model.top_p.value_or(sampling.top_p);
  sampling.top_k = model.top_k.value_or(sampling.top_k);
  sampling.min_p = model.min_p.value_or(sampling.min_p);
  sampling.repetition_penalty = model.repetition_penalty.value_or(sampling.repetition_penalty);
  return sampling;
}

std::optional<text::ChatTemplate> chat_template(const text::ChatFiles& files,
                                                const std::string& override_path) {
  if (!override_path.empty()) {
    return text::ChatTemplate::parse(read_file(override_path, kMaxTemplate), override_path);
  }
  files.check();
  const text::ChatTemplateSource* const source = files.choose(false);
  if (source == nullptr) return std::nullopt;
  return text::ChatTemplate::parse(source->source, source->where);
}

serve::PromptEncoder prompt_encoder(const bundle::Bundle& bundle, const ServeConfig& config,
                                    int64_t context) {
  std::optional<text::Tokenizer> tokenizer;
  if (bundle.has_tokenizer()) {
    tokenizer = bundle.load_tokenizer();
    tokenizer->drop_length_rules();
  }
  text::ChatFiles files = bundle.chat_files();
  std::optional<text::ChatTemplate> chat = chat_template(files, config.chat_template);
  return {std::move(tokenizer), std::move(chat), std::move(files.special_tokens),
          bundle.config().vocab, context};
}

int64_t unix_time() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace

serve::EngineModel engine_model(const bundle::Bundle& bundle, const ServeConfig& config,
                                int64_t context) {
  const bundle::GenerationConfig generation = bundle.generation();
  note_unread(generation, bundle.path());
  serve::ModelInfo info;
  info.id = config.served_model_name;
  info.created = unix_time();
  info.context_length = context;
  info.vocab_size = bundle.config().vocab;
  info.defaults = sampling_defaults(generation, config);
  std::vector<int32_t> ends;
  for (const int64_t id : generation.eos) ends.push_back(static_cast<int32_t>(id));
  return {std::move(info), prompt_encoder(bundle, config, context), std::move(ends)};
}

serve::ModelInfo embedding_info(const embed::Embedder& embedder, const ServeConfig& config) {
  serve::ModelInfo info;
  info.id = config.served_model_name;
  info.created = unix_time();
  info.context_length = embedder.max_tokens();
  info.vocab_size = embedder.vocab();
  return info;
}

std::string sampling_line(const bundle::Bundle& bundle, const ServeConfig& config) {
  const bundle::GenerationConfig model = bundle.generation();
  const serve::Sampling sampling = sampling_defaults(model, config);
  const bool from_model =
      config.sampling_defaults == SamplingDefaults::kModel &&
      (model.temperature || model.top_p || model.top_k || model.min_p || model.repetition_penalty);
  return fmt::format(
      "sampling where a request names none: temperature {}, top_p {}, top_k {}, min_p {}, "
      "repetition_penalty {} ({})\n",
      sampling.temperature, sampling.top_p, sampling.top_k, sampling.min_p,
      sampling.repetition_penalty,
      from_model ? "from the model's generation_config.json" : "neutral");
}

}  // namespace ashlar::cli
