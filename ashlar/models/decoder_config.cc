#include "ashlar/models/decoder_config.h"

#include "ashlar/base/error.h"
#include "ashlar/models/decoder_graphs.h"
#include "ashlar/models/max_layers.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>

namespace ashlar::models {
namespace {

// Far beyond any model there is, so that a broken config.json is refused before memory is asked
// for.
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
  ASHLAR_CHECK(mixture.scale > 0, "{}: routed scaling factor {} is not positive", where,
               mixture.scale);
  const bool divides = mixture.groups >= 1 && mixture.experts % mixture.groups == 0;
  ASHLAR_CHECK(
      divides && mixture.top_groups >= 1 && mixture.top_groups <= mixture.groups,
      "{}: {} of {} groups of {} experts, wanted a number that divides the experts, and as "
      "many of them or fewer",
      where, mixture.top_groups, mixture.groups, mixture.experts);
  const int64_t size = mixture.experts / mixture.groups;
  ASHLAR_CHECK(mixture.per_token <= mixture.top_groups * size && mixture.group_best <= size,
               "{}: {} experts per token out of {} groups of {}, which are compared by their best "
               "{}: wanted larger groups or more of them",
               where, mixture.per_token, mixture.top_groups, size, mixture.group_best);
  ASHLAR_CHECK(!mixture.balance || mixture.score == kernels::RouteScore::kSoftmax,
               "{}: the load-balancing loss is that of a softmax, and this router has sigmoids: "
               "leave it out (moe.aux_loss_coef=0)",
               where);
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

bool DecoderConfig::has_experts(int64_t index) const {
  return mixture.experts > 0 && index >= mixture.dense_first && !layer(index).dense;
}

int64_t DecoderConfig::expert_ffn() const { return mixture.ffn > 0 ? mixture.ffn : ffn; }

int64_t DecoderConfig::shared_ffn() const {
  return mixture.shared_ffn > 0 ? mixture.shared_ffn : mixture.shared_experts * expert_ffn();
}

int64_t DecoderConfig::cached_per_token() const {
  return layers * (latent.enabled ? latent.rank + latent.shared : 2 * kv_heads * head_dim);
}

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
  if (local || !causal) local_rope.rotary_dim = head_dim;
  if (latent.enabled) resize_latent(sizes.head_dim);
  if (sizes.experts > 0) mixture.experts = sizes.experts;
  if (sizes.experts_per_token > 0) mixture.per_token = sizes.experts_per_token;
}

void DecoderConfig::resize_latent(int64_t asked) {
  const auto set = [](int64_t& size, int64_t usual) { size = size > 0 ? size : usual; };
  const int64_t head = asked > 0 ? asked : head_dim;
  set(latent.own, head);
  set(latent.shared, std::max<int64_t>(head / 4 * 2, 2));
  set(latent.value, head);
  set(latent.rank, 4 * head);
  head_dim = latent.key();
  rope.rotary_dim = latent.shared;
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
  if (latent.enabled) {
    check_sizes(where,
                {{"rank of latents", latent.rank, kMaxWidth},
                 {"channels of a head's own keys", latent.own, kMaxWidth},
                 {"channels of the shared key", latent.shared, kMaxWidth},
                 {"channels of a value", latent.value, kMaxWidth / std::max<int64_t>(heads, 1)}});
    ASHLAR_CHECK(head_dim == latent.key() && rope.rotary_dim == latent.shared,
                 "{}: keys of {} channels of which {} rotate, wanted {} and {}", where, head_dim,
                 rope.rotary_dim, latent.key(), latent.shared);
    ASHLAR_CHECK(kv_heads == heads,
                 "{}: {} key-value heads, but latent attention has as many as heads ({})", where,
                 kv_heads, heads);
  }
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
  if (!local) return;
  check_rope(where, local_rope, head_dim);
  ASHLAR_CHECK(local_rope.scaling != RopeScaling::kLong,
               "{}: longrope is not supported in layers with a window and a rotation of their own",
               where);
}

DecoderConfig DecoderConfig::without_dropout() const {
  DecoderConfig config = *this;
  config.embedding_dropout = config.residual_dropout = config.attention_dropout = 0;
  config.layerdrop = config.mixture.jitter = 0;
  return config;
}

DecoderConfig DecoderConfig::as_inference() const {
  DecoderConfig config = without_dropout();
  config.mixture.balance = config.mixture.random_second = config.mixture.padded = false;
  config.mixture.capacity = 0;
  return config;
}

namespace {

// Sums what `count` makes of each parameter.
template <typename Count>
int64_t sum_parameters(const DecoderConfig& config, Count count) {
  DecoderOptions options;
  options.max_positions = 1;  // the rotary table is no parameter
  const graph::Graph graph = build_logits(config, options);
  int64_t sum = 0;
  for (const graph::Variable& variable : graph.variables()) {
    if (variable.kind == graph::VariableKind::kParameter) sum += count(variable);
  }
  return sum;
}

}  // namespace

int64_t active_parameter_count(const DecoderConfig& config) {
  return sum_parameters(config, [&](const graph::Variable& variable) {
    const int64_t elements = variable.shape.elements();
    const bool experts = !variable.dims.empty() && variable.dims.front() == "expert";
    return experts ? elements / config.mixture.experts * config.mixture.per_token : elements;
  });
}

int64_t parameter_count(const DecoderConfig& config) {
  return sum_parameters(config,
                        [](const graph::Variable& variable) { return variable.shape.elements(); });
}

}  // namespace ashlar::models
