#include "ashlar/models/decoder_config.h"

#include "ashlar/base/error.h"
#include "ashlar/models/decoder_graphs.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>

namespace ashlar::models {
namespace {

// Far beyond any model there is, so that a broken config.json is refused before memory is asked
// for.
constexpr int64_t kMaxLayers = 10'000;
constexpr int64_t kMaxWidth = int64_t{1} << 24;  // of a row of anything
constexpr int64_t kMaxExperts = int64_t{1} << 16;
constexpr int64_t kMaxRows = int64_t{1} << 28;  // of a table

struct Size {
  const char* what;
  int64_t value, limit;
};

void check_sizes(const std::string& where, std::initializer_list<Size> sizes) {
  for (const auto& [what, value, limit] : sizes) {
    ASHLAR_CHECK(value > 0 && value <= limit, "{}: {} is {}, wanted 1 to {}", where, what, value,
                 limit);
  }
}

void check_rate(const std::string& where, const char* what, double rate) {
  ASHLAR_CHECK(rate >= 0 && rate < 1, "{}: {} is {}, wanted at least 0 and below 1", where, what,
               rate);
}

void check_mixture(const std::string& where, const MixtureConfig& mixture) {
  if (mixture.experts == 0) return;
  check_sizes(where, {{"number of experts", mixture.experts, kMaxExperts},
                      {"experts per token", mixture.per_token, mixture.experts}});
  ASHLAR_CHECK(mixture.coefficient >= 0, "{}: load-balancing coefficient {} is negative", where,
               mixture.coefficient);
}

void check_rope(const std::string& where, const RopeConfig& rope, int64_t head_dim) {
  ASHLAR_CHECK(rope.rotary_dim > 0 && rope.rotary_dim % 2 == 0 && rope.rotary_dim <= head_dim,
               "{}: {} rotary channels of a head of size {}, wanted an even number up to it", where,
               rope.rotary_dim, head_dim);
  ASHLAR_CHECK(rope.theta > 0, "{}: rope theta {} is not positive", where, rope.theta);
  ASHLAR_CHECK(rope.factor > 0, "{}: rope factor {} is not positive", where, rope.factor);
  ASHLAR_CHECK(rope.attention_factor > 0, "{}: rope attention_factor {} is not positive", where,
               rope.attention_factor);
  const bool bounded = rope.scaling == RopeScaling::kLlama3 || rope.scaling == RopeScaling::kYarn ||
                       rope.scaling == RopeScaling::kLong;
  ASHLAR_CHECK(!bounded || rope.original_max_positions > 0,
               "{}: rope original_max_position_embeddings {} is not positive", where,
               rope.original_max_positions);
  if (rope.scaling == RopeScaling::kLlama3) {
    ASHLAR_CHECK(rope.low_freq_factor > 0 && rope.high_freq_factor > rope.low_freq_factor,
                 "{}: rope low_freq_factor {} and high_freq_factor {}, wanted 0 < low < high",
                 where, rope.low_freq_factor, rope.high_freq_factor);
  }
  if (rope.scaling == RopeScaling::kYarn) {
    ASHLAR_CHECK(rope.beta_slow > 0 && rope.beta_fast >= rope.beta_slow,
                 "{}: rope beta_fast {} and beta_slow {}, wanted 0 < slow <= fast", where,
                 rope.beta_fast, rope.beta_slow);
  }
  if (rope.scaling != RopeScaling::kLong) return;
  const auto check_factors = [&](const char* key, const std::vector<double>& factors) {
    ASHLAR_CHECK(std::ssize(factors) == rope.rotary_dim / 2,
                 "{}: rope {} has {} numbers, wanted one for each of {} pairs of channels", where,
                 key, factors.size(), rope.rotary_dim / 2);
    for (const double factor : factors) {
      ASHLAR_CHECK(factor > 0, "{}: rope {} has {}, which is not positive", where, key, factor);
    }
  };
  check_factors("short_factor", rope.short_factors);
  check_factors("long_factor", rope.long_factors);
}

}  // namespace

const LayerConfig& DecoderConfig::layer(int64_t index) const {
  return pattern[static_cast<size_t>(index) % pattern.size()];
}

int64_t DecoderConfig::largest_window() const {
  return std::ranges::max(pattern, {}, &LayerConfig::window).window;
}

double DecoderConfig::embedding_factor() const {
  return embedding_scale == kSqrtWidth ? std::sqrt(static_cast<double>(width)) : embedding_scale;
}

double DecoderConfig::score_scale(int64_t layer) const {
  const double scale =
      attention_scale != 0 ? attention_scale : 1 / std::sqrt(static_cast<double>(head_dim));
  return scale_by_layer ? scale / static_cast<double>(layer + 1) : scale;
}

void DecoderConfig::set_layers(const std::vector<LayerConfig>& each) {
  for (size_t size = 1; size <= each.size(); ++size) {
    // Layer i is layer i - size wherever there is one.
    if (!std::equal(each.begin() + static_cast<std::ptrdiff_t>(size), each.end(), each.begin())) {
      continue;
    }
    pattern.assign(each.begin(), each.begin() + static_cast<std::ptrdiff_t>(size));
    return;
  }
}

void DecoderConfig::resize(const DecoderSizes& sizes) {
  vocab = sizes.vocab;
  width = sizes.width;
  layers = sizes.layers;
  heads = sizes.heads;
  max_positions = sizes.max_positions;
  kv_heads = sizes.kv_heads > 0 ? sizes.kv_heads : heads;
  head_dim = sizes.head_dim > 0 || heads <= 0 ? sizes.head_dim : width / heads;
  const int64_t usual_ffn = gated ? (8 * width / 3 + 63) / 64 * 64 : 4 * width;
  ffn = sizes.ffn > 0 ? sizes.ffn : usual_ffn;
  if (positions == Positions::kRotary) rope.rotary_dim = head_dim;
  const bool local = std::ranges::any_of(pattern, &LayerConfig::local_rope);
  if (local) local_rope.rotary_dim = head_dim;
  if (sizes.experts > 0) mixture.experts = sizes.experts;
  if (sizes.experts_per_token > 0) mixture.per_token = sizes.experts_per_token;
}

void DecoderConfig::validate(const std::string& where) const {
  check_sizes(where, {{"vocabulary size", vocab, kMaxRows},
                      {"width", width, kMaxWidth},
                      {"number of layers", layers, kMaxLayers},
                      {"number of heads", heads, kMaxWidth},
                      {"number of key-value heads", kv_heads, kMaxWidth},
                      {"head size", head_dim, kMaxWidth / std::max<int64_t>(heads, 1)},
                      {"MLP width", ffn, kMaxWidth},
                      {"number of positions", max_positions, kMaxRows}});
  ASHLAR_CHECK(heads % kv_heads == 0, "{}: {} heads are not a multiple of {} key-value heads",
               where, heads, kv_heads);
  ASHLAR_CHECK(norm_eps > 0, "{}: norm epsilon {} is not positive", where, norm_eps);
  ASHLAR_CHECK(initializer_range >= 0, "{}: initializer_range {} is negative", where,
               initializer_range);
  check_rate(where, "embedding dropout", embedding_dropout);
  check_rate(where, "residual dropout", residual_dropout);
  check_rate(where, "attention dropout", attention_dropout);
  check_mixture(where, mixture);
  ASHLAR_CHECK(attention_scale >= 0 && alibi_scale > 0 && embedding_scale >= 0 &&
                   residual_scale > 0 && logit_scale > 0,
               "{}: scales of scores ({}), ALiBi ({}), embedding ({}), residual ({}) and logits "
               "({}): wanted above 0",
               where, attention_scale, alibi_scale, embedding_scale, residual_scale, logit_scale);
  ASHLAR_CHECK(attention_softcap >= 0 && logit_softcap >= 0,
               "{}: soft caps of scores ({}) and logits ({}): wanted at least 0", where,
               attention_softcap, logit_softcap);
  ASHLAR_CHECK(!pattern.empty(), "{}: no layer is described", where);
  for (const LayerConfig& layer : pattern) {
    ASHLAR_CHECK(layer.window >= 0, "{}: window {} is negative", where, layer.window);
  }
  if (positions != Positions::kRotary) return;
  check_rope(where, rope, head_dim);
  const bool local = std::ranges::any_of(pattern, &LayerConfig::local_rope);
  if (local) check_rope(where, local_rope, head_dim);
}

DecoderConfig DecoderConfig::without_dropout() const {
  DecoderConfig config = *this;
  config.embedding_dropout = config.residual_dropout = config.attention_dropout = 0;
  return config;
}

DecoderConfig DecoderConfig::as_inference() const {
  DecoderConfig config = without_dropout();
  config.mixture.balance = config.mixture.random_second = config.mixture.padded = false;
  config.mixture.capacity = 0;
  return config;
}

int64_t active_parameter_count(const DecoderConfig& config) {
  if (config.mixture.experts == 0) return parameter_count(config);
  DecoderConfig fewer = config;  // as if there were only as many experts as a token meets
  fewer.mixture.experts = config.mixture.per_token;
  const int64_t routers = config.layers * config.width;  // a row of each for every expert
  return parameter_count(fewer) + routers * (config.mixture.experts - config.mixture.per_token);
}

int64_t parameter_count(const DecoderConfig& config) {
  DecoderOptions options;
  options.max_positions = 1;  // the rotary table is no parameter
  const graph::Graph graph = build_logits(config, options);
  int64_t count = 0;
  for (const graph::Variable& variable : graph.variables()) {
    if (variable.kind == graph::VariableKind::kParameter) count += variable.shape.elements();
  }
  return count;
}

}  // namespace ashlar::models
