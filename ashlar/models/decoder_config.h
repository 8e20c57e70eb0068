// What a decoder is, whatever family it comes from: sizes, norms, biases, positions. An encoder is
// one whose tokens see those behind them too. Families parse it from their config.json (family.h);
// decoder.h builds graphs from it and asks nothing else.
#pragma once

#include "ashlar/graph/ops/moe_route.h"
#include "ashlar/graph/ops/norm.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ashlar::models {

// How a token's place reaches attention: a row that is added to the embedding, a rotation of
// queries and keys, or a bias of scores that falls with distance (Press et al. 2022).
enum class Positions : uint8_t { kLearned, kRotary, kAlibi };

// How the frequencies are stretched for longer contexts: not at all; all by `factor`; by a larger
// theta once a sequence is longer than the model has positions, which here none is; as Llama 3.1
// does, low ones by `factor`, high ones not at all, those between by a blend; the same with
// other bounds and a correction of scores (YaRN, Peng et al. 2023); each by a factor of its own, of
// which there are two sets (LongRoPE, Ding et al. 2024).
enum class RopeScaling : uint8_t { kDefault, kLinear, kDynamic, kLlama3, kYarn, kLong };

struct RopeConfig {
  double theta = 10000;
  int64_t rotary_dim = 0;    // leading channels of a head that rotate
  bool interleaved = false;  // pairs (2i, 2i+1) instead of (i, i + rotary_dim/2)
  RopeScaling scaling = RopeScaling::kDefault;
  double factor = 1;
  double low_freq_factor = 1, high_freq_factor = 4;  // llama3
  int64_t original_max_positions = 0;                // llama3, yarn, long
  double beta_fast = 32, beta_slow = 1;              // yarn: turns within the original context
  bool truncate = true;                              // yarn: bounds are whole channels
  double attention_factor = 1;                       // yarn, long: of cosines and sines
  // long: of each frequency, in sequences up to original_max_positions and beyond.
  std::vector<double> short_factors, long_factors;
  bool operator==(const RopeConfig&) const = default;
};

// Where a layer's branches (attention, MLP) are normalised.
enum class NormPlacement : uint8_t {
  kInput,   // what they read (Llama)
  kOutput,  // what they add to the residual stream (OLMo 2)
  kBoth,    // Gemma 2
  kStream,  // the residual stream behind each (OPT 350M)
};

// What the MLP of a layer reads: the residual stream behind attention, or what attention reads,
// through a norm of its own (GPT-NeoX) or attention's (GPT-J).
enum class MlpInput : uint8_t { kAttention, kLayer, kLayerOneNorm };

// Norms of queries and keys, before they rotate.
enum class QkNorm : uint8_t {
  kNone,
  kHead,      // each head, all by one weight (Qwen 3)
  kEachHead,  // each head by a weight of its own (StableLM 2)
  kWidth,     // all heads as one row (OLMo 2)
};

// What layers of one model differ in.
struct LayerConfig {
  int64_t window = 0;       // > 0: a query sees that many keys, its own included
  bool local_rope = false;  // rotates by DecoderConfig::local_rope
  bool dense = false;       // has a plain MLP where others have a mixture of experts
  bool operator==(const LayerConfig&) const = default;
};

// A mixture of experts in place of a layer's MLP (Mixtral, Jiang et al. 2024): a router sends every
// token to `per_token` of `experts` MLPs.
struct MixtureConfig {
  int64_t experts = 0;  // 0: a plain MLP
  int64_t per_token = 2;
  bool renormalise = true;    // a token's weights sum to 1 (before the scale)
  bool balance = false;       // training adds coefficient * balance (graph/ops/moe_load.h)
  double coefficient = 0.02;  // of the load-balancing loss
  int64_t ffn = 0;            // of each expert; 0: the model's
  int64_t dense_first = 0;    // so many first layers have plain MLPs
  // How a score comes from logits, and which groups of experts are chosen among (RouteRule).
  kernels::RouteScore score = kernels::RouteScore::kSoftmax;
  bool correction = false;  // a bias of each expert moves the choice; training leaves it as it is
  double scale = 1;         // of the weights
  int64_t groups = 1, top_groups = 1, group_best = 1;
  // Experts that all tokens share, as one MLP of their widths together.
  int64_t shared_experts = 0;
  int64_t shared_ffn = 0;    // of that MLP; 0: shared_experts times an expert's
  bool shared_gate = false;  // each token weighs it by a sigmoid
  double jitter = 0;         // Mixtral's noise on what the router reads; training refuses it
  // Training only (graph/ops/moe_assign.h). A file does not say them.
  double capacity = 0;         // factor; 0: nothing is dropped
  bool padded = false;         // where ranks exchange rows, in messages of that size
  bool random_second = false;  // GShard's
  bool operator==(const MixtureConfig&) const = default;
};

// Latent attention (MLA: DeepSeek-V2, Liu et al. 2024) in place of queries, keys and values that
// are projected by themselves: keys and values of all heads come from a latent of `rank` channels.
// Of a key's channels the last are shared by all heads; they alone rotate. Sizes that are 0 follow
// from the heads' size when a new model is made.
struct LatentConfig {
  bool enabled = false;
  int64_t rank = 0;
  int64_t query_rank = 0;                  // queries come from a latent too; 0: from the stream
  int64_t own = 0, shared = 0, value = 0;  // channels of a key, and of a value
  double norm_eps = 1e-6;                  // of the latents' norms, whatever the others have
  double mscale = 0, mscale_all_dim = 0;   // as a yarn file has them; attention_scale holds both
  int64_t key() const { return own + shared; }
  bool operator==(const LatentConfig&) const = default;
};

// What the head of a masked language model reads in place of the last layer's row: norm(f(dense x))
// (BERT, Devlin et al. 2019).
struct HeadTransform {
  bool enabled = false;
  bool bias = true;  // of the dense matrix
  kernels::Activation activation = kernels::Activation::kGeluErf;
  bool operator==(const HeadTransform&) const = default;
};

// What a new model of a family is asked for; 0: as the family has it.
struct DecoderSizes {
  int64_t vocab = 0, width = 0, layers = 0, heads = 0, max_positions = 0;
  int64_t kv_heads = 0;  // as many as heads
  int64_t head_dim = 0;  // width / heads
  int64_t ffn = 0;       // plain: 4 width; gated: 8/3 width, up to the next multiple of 64
  int64_t experts = 0, experts_per_token = 0;  // of families with a mixture of experts
};

inline constexpr double kSqrtWidth = 0;  // as an embedding_scale

struct DecoderConfig {
  std::string family;  // model_type of config.json

  int64_t vocab = 0, width = 0, layers = 0;
  int64_t heads = 0, kv_heads = 0, head_dim = 0;
  int64_t ffn = 0;  // inner width of the MLP, or of each expert
  int64_t max_positions = 0;
  std::vector<LayerConfig> pattern = {{}};  // layer i is pattern[i mod its size]
  MixtureConfig mixture;
  LatentConfig latent;
  // Of an encoder tokens see those before and behind them, windows reach to both sides.
  bool causal = true;
  int64_t token_types = 0;  // segments that have an embedding of their own; 0: none have

  // Of all norms. Layer norms have a bias where norm_bias says so.
  graph::NormKind norm = graph::NormKind::kRms;
  double norm_eps = 1e-6;
  bool norm_bias = true;
  bool zero_centred_norm = false;  // channels are scaled by 1 + weight
  NormPlacement norm_placement = NormPlacement::kInput;
  bool norm_affine = true;  // norms have a weight (and bias) at all
  bool embedding_norm = false, final_norm = true;
  bool first_norm = true;  // the first attention has a norm before it, as the others (kInput)
  bool residual_from_norm = false;  // branches are added to what they read, once normalised

  kernels::Activation activation = kernels::Activation::kSilu;
  bool gated = true;  // down(f(gate x) * up x) instead of down(f(up x))
  MlpInput mlp_input = MlpInput::kAttention;
  bool qkv_bias = false, o_bias = false, mlp_bias = false, head_bias = false;
  bool tied_head = false;  // the head is the embedding
  HeadTransform head_transform;
  int64_t embedding_width = 0;  // > 0: of embedding and head, projected to width and back

  QkNorm qk_norm = QkNorm::kNone;
  bool qk_norm_bias = false;
  double attention_scale = 0;    // of scores; 0: 1 / sqrt(head_dim)
  bool scale_by_layer = false;   // scores of layer i (from 0) are divided by i + 1
  double attention_softcap = 0;  // > 0: scores become cap tanh(score / cap)

  Positions positions = Positions::kRotary;
  RopeConfig rope, local_rope;
  int64_t position_offset = 0;  // learned: token 0 has that row
  double alibi_scale = 1;       // alibi: of the slopes
  bool alibi_in_bf16 = false;   // slopes, and what they make of a position, are rounded to bf16

  double embedding_scale = 1;  // kSqrtWidth: the square root of the width (Gemma)
  double residual_scale = 1;   // of what branches add
  double logit_scale = 1;
  double logit_softcap = 0;  // > 0, behind the scale

  double embedding_dropout = 0, residual_dropout = 0, attention_dropout = 0;
  double layerdrop = 0;  // share of whole layers that a step skips (OPT); training refuses it

  // For training from scratch. scaled_init: what writes to the residual stream starts smaller, by
  // 1 / sqrt(2 layers) (Radford et al. 2019).
  double initializer_range = 0.02;
  bool scaled_init = false;

  std::optional<int64_t> bos;
  std::vector<int64_t> eos;
  DType dtype = DType::kF32;  // of the weights as stored

  const LayerConfig& layer(int64_t index) const;
  int64_t largest_window() const;  // 0 where no layer has one
  bool has_experts(int64_t layer) const;
  int64_t expert_ffn() const;  // of one expert
  int64_t shared_ffn() const;  // of the experts that all tokens share; 0 where there are none
  // Numbers that the cache of keys and values holds of each token, in all layers.
  int64_t cached_per_token() const;
  double embedding_factor() const;
  // Of scores in that layer.
  double score_scale(int64_t layer) const;
  // Gives each layer its own, in the shortest pattern that does.
  void set_layers(const std::vector<LayerConfig>& each);

  // Takes the sizes; those left at 0 follow from the others (and from `gated`).
  void resize(const DecoderSizes& sizes);
  // Throws Error naming `where` for sizes that do not go together.
  void validate(const std::string& where) const;
  DecoderConfig without_dropout() const;
  // Without all that training adds: dropout, capacity, the balance of experts.
  DecoderConfig as_inference() const;
  bool operator==(const DecoderConfig&) const = default;

 private:
  void resize_latent(int64_t asked);  // of a head's own keys; 0: as head_dim is
};

// Learnt numbers, a tied head counted once.
int64_t parameter_count(const DecoderConfig& config);
// Those that a token meets: of experts, the ones it is sent to.
int64_t active_parameter_count(const DecoderConfig& config);

}  // namespace ashlar::models
