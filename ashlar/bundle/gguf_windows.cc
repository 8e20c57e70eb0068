#include "ashlar/bundle/gguf_windows.h"

#include "ashlar/base/error.h"
#include "ashlar/base/log.h"

#include <algorithm>
#include <vector>

namespace ashlar::bundle {
namespace {

using formats::GgufMetadata;
using formats::GgufValue;

// A layer of each period sees all: its last.
bool slides(int64_t layer, int64_t period) { return period == 0 || layer % period < period - 1; }

std::vector<int64_t> usual_pattern(int64_t layers, int64_t period) {
  std::vector<int64_t> pattern;
  for (int64_t i = 0; i < layers; ++i) pattern.push_back(slides(i, period) ? 1 : 0);
  return pattern;
}

// An array with an entry for each layer, or a period.
std::vector<int64_t> read_pattern(const GgufMetadata& metadata, const GgufWindows& form,
                                  const std::string& prefix) {
  const int64_t layers = metadata.integer(prefix + "block_count");
  const std::string key = prefix + "attention.sliding_window_pattern";
  const GgufValue* const found = metadata.find(key);
  if (found == nullptr) return usual_pattern(layers, form.period);
  if (!found->array) return usual_pattern(layers, metadata.integer(key));
  ASHLAR_CHECK(std::ssize(found->integers) == layers, "{}: {} has {} entries, the model {} layers",
               metadata.where(), key, found->size(), layers);
  return found->integers;
}

}  // namespace

ConfigKeys read_gguf_windows(const GgufFacts& facts, const GgufWindows& form,
                             const std::string& prefix) {
  if (!form.any) return {};
  const GgufMetadata& metadata = facts.metadata;
  const int64_t window = metadata.integer(prefix + "attention.sliding_window", form.absent);
  std::vector<int64_t> pattern = read_pattern(metadata, form, prefix);
  if (window == 0) std::ranges::fill(pattern, 0);
  const bool all = std::ranges::count(pattern, 0) == 0;
  ASHLAR_CHECK(
      form.typed || all || window == 0,
      "{}: {}attention.sliding_window_pattern is not supported (one window for all layers)",
      metadata.where(), prefix);
  ConfigKeys keys{{"sliding_window", window > 0 ? std::to_string(window) : "null"}};
  if (form.switched) keys.emplace_back("use_sliding_window", window > 0 ? "true" : "false");
  if (form.typed) {
    std::string types;
    for (const int64_t local : pattern) {
      types += types.empty() ? "[" : ",";
      types += local != 0 ? R"("sliding_attention")" : R"("full_attention")";
    }
    keys.emplace_back("layer_types", types + "]");
  }
  return keys;
}

void write_gguf_windows(const models::DecoderConfig& config, const GgufFamily& family,
                        const std::string& prefix, GgufMetadata& metadata) {
  const GgufWindows& form = family.windows;
  const int64_t window = config.largest_window();
  // Where there is none the file says so, if it would be taken for one otherwise.
  if (!form.any || (window == 0 && form.absent == 0)) return;
  metadata.set_u32(prefix + "attention.sliding_window", window);
  if (window == 0) return;
  std::vector<int64_t> pattern;
  for (int64_t i = 0; i < config.layers; ++i) pattern.push_back(config.layer(i).window > 0 ? 1 : 0);
  if (pattern != usual_pattern(config.layers, form.period)) {
    metadata.add(prefix + "attention.sliding_window_pattern",
                 {.kind = formats::GgufKind::kBool, .array = true, .integers = pattern});
  }
  if (form.honoured || window >= config.max_positions) return;
  log::warn(
      "convert note=\"llama.cpp's {} has no windows: there queries see further than {} keys\"",
      family.architecture, window);
}

}  // namespace ashlar::bundle
