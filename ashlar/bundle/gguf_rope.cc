#include "ashlar/bundle/gguf_rope.h"

#include "ashlar/base/error.h"
#include "ashlar/base/log.h"
#include "ashlar/bundle/rope_divisors.h"
#include "ashlar/models/hf_rope.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>

namespace ashlar::bundle {
namespace {

using formats::GgufMetadata;
using models::RopeConfig;
using models::RopeScaling;

constexpr const char* kRopeFreqs = "rope_freqs.weight";
constexpr const char* kLongFactors = "rope_factors_long.weight";
constexpr const char* kShortFactors = "rope_factors_short.weight";
constexpr double kBetaFast = 32, kBetaSlow = 1;  // of yarn where a file does not say

constexpr std::string_view kKeys[] = {
    "rope.dimension_count",
    "rope.freq_base",
    "rope.scale_linear",
    "rope.scaling.type",
    "rope.scaling.factor",
    "rope.scaling.attn_factor",
    "rope.scaling.original_context_length",
    "rope.scaling.finetuned",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
};

double shortest(double value) { return std::stod(json_number(value)); }

std::vector<double> shortest(const std::vector<float>& values) {
  std::vector<double> result;
  for (const float value : values) result.push_back(shortest(static_cast<double>(value)));
  return result;
}

// What yarn multiplies cosines and sines by, unless a file says otherwise.
double yarn_factor(double factor) { return factor <= 1 ? 1 : 0.1 * std::log(factor) + 1; }

class RopeReader {
 public:
  RopeReader(const GgufFacts& facts, std::string prefix, const RopeSizes& sizes)
      : facts_(facts), keys_(facts.metadata), prefix_(std::move(prefix)), sizes_(sizes) {}

  RopeConfig read() {
    rope_.theta = number("rope.freq_base", 10000);
    rope_.rotary_dim = keys_.integer(prefix_ + "rope.dimension_count", sizes_.head_dim);
    const std::string type = keys_.text(prefix_ + "rope.scaling.type", "");
    check_alone(type);
    if (facts_.has(kRopeFreqs)) {
      llama3();
    } else if (facts_.has(kLongFactors) || facts_.has(kShortFactors)) {
      long_rope();
    } else if (type == "yarn") {
      yarn();
    } else if (type == "linear" || type.empty()) {
      // Older files have the factor under a key of its own.
      const double factor = number("rope.scaling.factor", number("rope.scale_linear", 1));
      if (factor != 1 && factor != 0) {
        rope_.scaling = RopeScaling::kLinear;
        rope_.factor = factor;
      }
    } else {
      ASHLAR_CHECK(type == "none",
                   "{}: {}rope.scaling.type '{}' is not supported; supported are none, linear, "
                   "yarn, longrope with its factors",
                   keys_.where(), prefix_, type);
    }
    return rope_;
  }

 private:
  double number(const std::string& key, double fallback) const {
    return shortest(keys_.number(prefix_ + key, fallback));
  }

  // The divisors of Llama 3's scaling allow no other beside them, and cosines are multiplied in
  // yarn and longrope only.
  void check_alone(const std::string& type) const {
    const double factor = number("rope.scaling.factor", number("rope.scale_linear", 1));
    const bool plain =
        type == "none" || ((type == "linear" || type.empty()) && (factor == 0 || factor == 1));
    ASHLAR_CHECK(!facts_.has(kRopeFreqs) || plain,
                 "{}: {}rope.scaling.type '{}' (factor {}) beside {} is not supported",
                 keys_.where(), prefix_, type.empty() ? "linear" : type, factor, kRopeFreqs);
    const double multiplier = number("rope.scaling.attn_factor", 1);
    const bool multiplies = type == "yarn" || facts_.has(kLongFactors);
    ASHLAR_CHECK(multiplies || multiplier == 1,
                 "{}: {}rope.scaling.attn_factor {} is supported with yarn and longrope only",
                 keys_.where(), prefix_, multiplier);
  }

  int64_t original() const {
    return keys_.integer(prefix_ + "rope.scaling.original_context_length", sizes_.context);
  }

  void llama3() {
    const std::vector<float> divisors = facts_.values(kRopeFreqs);
    const auto found = rope_of_divisors(divisors, rope_.theta);
    ASHLAR_CHECK(found.has_value(),
                 "{}: no factor and bounds of Llama 3's scaling give the divisors in {}, or they "
                 "are too few to tell which",
                 keys_.where(), kRopeFreqs);
    rope_ = *found;
  }

  void long_rope() {
    rope_.scaling = RopeScaling::kLong;
    for (const char* name : {kLongFactors, kShortFactors}) {
      ASHLAR_CHECK(facts_.has(name), "{}: tensor '{}' is missing", keys_.where(), name);
    }
    rope_.short_factors = shortest(facts_.values(kShortFactors));
    rope_.long_factors = shortest(facts_.values(kLongFactors));
    rope_.original_max_positions = original();
    const auto before = static_cast<double>(rope_.original_max_positions);
    rope_.factor = static_cast<double>(sizes_.context) / before;
    // The file has it in single precision; where it is the usual one, that.
    const double given = number("rope.scaling.attn_factor", 1);
    const double usual =
        rope_.factor <= 1 ? 1 : std::sqrt(1 + std::log(rope_.factor) / std::log(before));
    rope_.attention_factor = std::abs(given - usual) < 1e-6 ? usual : given;
  }

  void yarn() {
    rope_.scaling = RopeScaling::kYarn;
    rope_.factor = number("rope.scaling.factor", 1);
    rope_.original_max_positions = original();
    rope_.beta_fast = number("rope.scaling.yarn_beta_fast", kBetaFast);
    rope_.beta_slow = number("rope.scaling.yarn_beta_slow", kBetaSlow);
    // With a multiplier (DeepSeek) scores are scaled instead.
    const bool scores = keys_.number(prefix_ + "rope.scaling.yarn_log_multiplier", 0) != 0;
    if (prefix_ == "deepseek2.") {
      ASHLAR_CHECK(scores && number("rope.scaling.attn_factor", 1) == 1,
                   "{}: deepseek2 with yarn is supported with {}rope.scaling.yarn_log_multiplier "
                   "and without attn_factor only; convert the model anew",
                   keys_.where(), prefix_);
    }
    const double usual = scores ? 1 : yarn_factor(rope_.factor);
    rope_.attention_factor = usual * number("rope.scaling.attn_factor", 1);
  }

  const GgufFacts& facts_;
  const GgufMetadata& keys_;
  std::string prefix_;
  RopeSizes sizes_;
  RopeConfig rope_;
};

void check_scaling(const RopeConfig& rope, const GgufFamily& family) {
  const bool held = (rope.scaling != RopeScaling::kLlama3 || family.llama3_rope) &&
                    (rope.scaling != RopeScaling::kLong || family.long_rope);
  ASHLAR_CHECK(held, "gguf: architecture {} has no rotary scaling '{}'", family.architecture,
               rope.scaling == RopeScaling::kLong ? "longrope" : "llama3");
  ASHLAR_CHECK(rope.scaling != RopeScaling::kYarn || rope.truncate,
               "gguf: yarn's truncate = false has no key there (it is always true)");
}

}  // namespace

std::span<const std::string_view> gguf_rope_keys() { return kKeys; }

std::vector<std::string> gguf_rope_tensor_names() {
  return {kRopeFreqs, kLongFactors, kShortFactors};
}

ConfigKeys read_gguf_rope(const GgufFacts& facts, const GgufFamily& family,
                          const std::string& prefix, const RopeSizes& sizes) {
  const RopeConfig rope = RopeReader(facts, prefix, sizes).read();
  models::RopeDefaults defaults;
  defaults.partial = family.partial_rotary ? 0 : 1;  // said in any case, or where it is another
  auto written = nlohmann::ordered_json::parse(models::write_rope(rope, sizes.head_dim, defaults));
  if (family.model_type == "gpt_neox") {
    written["rotary_emb_base"] = written["rope_theta"];
    written["rotary_pct"] = written["partial_rotary_factor"];
  }
  // Beside the scaling, where Phi 3 has a default for it.
  if (rope.scaling == RopeScaling::kLong) {
    written["original_max_position_embeddings"] = rope.original_max_positions;
  }
  const double multiplier = facts.metadata.number(prefix + "rope.scaling.yarn_log_multiplier", 0);
  if (multiplier != 0) {
    written["rope_scaling"]["mscale"] = shortest(multiplier * 10);
    written["rope_scaling"]["mscale_all_dim"] = shortest(multiplier * 10);
  }
  ConfigKeys keys;
  for (const auto& [key, value] : written.items()) keys.emplace_back(key, value.dump());
  return keys;
}

void write_gguf_rope(const models::DecoderConfig& config, const GgufFamily& family,
                     const std::string& prefix, GgufMetadata& metadata) {
  const RopeConfig& rope = config.rope;
  check_scaling(rope, family);
  metadata.set_u32(prefix + "rope.dimension_count", rope.rotary_dim);
  metadata.set_f32(prefix + "rope.freq_base", rope.theta);
  const auto set = [&](const char* key, double value) {
    metadata.set_f32(prefix + "rope.scaling." + key, value);
  };
  const auto set_original = [&] {
    metadata.set_u32(prefix + "rope.scaling.original_context_length", rope.original_max_positions);
  };
  switch (rope.scaling) {
    case RopeScaling::kDefault:
    case RopeScaling::kDynamic:  // the same up to the model's positions
    case RopeScaling::kLlama3:   // a tensor says it
      return;
    case RopeScaling::kLinear:
      metadata.set(prefix + "rope.scaling.type", "linear");
      set("factor", rope.factor);
      return;
    case RopeScaling::kLong:
      metadata.set(prefix + "rope.scaling.type", "longrope");
      set("attn_factor", rope.attention_factor);
      set_original();
      return;
    case RopeScaling::kYarn:
      break;
  }
  metadata.set(prefix + "rope.scaling.type", "yarn");
  set("factor", rope.factor);
  set_original();
  const double usual = config.latent.enabled ? 1 : yarn_factor(rope.factor);
  if (std::abs(rope.attention_factor / usual - 1) > 1e-9) {
    set("attn_factor", rope.attention_factor / usual);
    if (std::ranges::any_of(config.pattern, &models::LayerConfig::local_rope)) {
      log::warn(
          "convert note=\"llama.cpp multiplies by yarn's attention_factor in windowed layers too, "
          "the model does not\"");
    }
  }
  if (rope.beta_fast == kBetaFast && rope.beta_slow == kBetaSlow) return;
  set("yarn_beta_fast", rope.beta_fast);
  set("yarn_beta_slow", rope.beta_slow);
  log::warn("convert note=\"llama.cpp takes yarn's betas for 32 and 1, here they are {} and {}\"",
            rope.beta_fast, rope.beta_slow);
}

std::map<std::string, std::vector<float>> gguf_rope_tensors(const models::DecoderConfig& config) {
  if (config.positions != models::Positions::kRotary) return {};
  const auto floats = [](const std::vector<double>& values) {
    return std::vector<float>(values.begin(), values.end());
  };
  switch (config.rope.scaling) {
    case RopeScaling::kLlama3:
      return {{kRopeFreqs, rope_divisors(config.rope)}};
    case RopeScaling::kLong:
      return {{kLongFactors, floats(config.rope.long_factors)},
              {kShortFactors, floats(config.rope.short_factors)}};
    default:
      return {};
  }
}

}  // namespace ashlar::bundle
