#include "ashlar/models/decoder_config.h"

#include "ashlar/base/error.h"
#include "ashlar/models/decoder_graphs.h"

#include <algorithm>
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

}  // namespace

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
  if (positions != Positions::kRotary) return;
  ASHLAR_CHECK(rope.rotary_dim > 0 && rope.rotary_dim % 2 == 0 && rope.rotary_dim <= head_dim,
               "{}: {} rotary channels of a head of size {}, wanted an even number up to it", where,
               rope.rotary_dim, head_dim);
  ASHLAR_CHECK(rope.theta > 0, "{}: rope theta {} is not positive", where, rope.theta);
  ASHLAR_CHECK(rope.factor > 0, "{}: rope factor {} is not positive", where, rope.factor);
  if (rope.scaling != RopeScaling::kLlama3) return;
  ASHLAR_CHECK(rope.low_freq_factor > 0 && rope.high_freq_factor > rope.low_freq_factor,
               "{}: rope low_freq_factor {} and high_freq_factor {}, wanted 0 < low < high", where,
               rope.low_freq_factor, rope.high_freq_factor);
  ASHLAR_CHECK(rope.original_max_positions > 0,
               "{}: rope original_max_position_embeddings {} is not positive", where,
               rope.original_max_positions);
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
