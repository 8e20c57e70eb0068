// What a decoder is, whatever family it comes from: sizes, norms, biases, positions. Families parse
// it from their config.json (family.h); decoder.h builds graphs from it and asks nothing else.
#pragma once

#include "ashlar/graph/ops/norm.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ashlar::models {

enum class Positions : uint8_t { kLearned, kRotary };

// How the frequencies are stretched for longer contexts: not at all, all by `factor`, or as Llama
// 3.1 does, low ones by `factor`, high ones not at all, those between by a blend.
enum class RopeScaling : uint8_t { kDefault, kLinear, kLlama3 };

struct RopeConfig {
  double theta = 10000;
  int64_t rotary_dim = 0;    // leading channels of a head that rotate
  bool interleaved = false;  // pairs (2i, 2i+1) instead of (i, i + rotary_dim/2)
  RopeScaling scaling = RopeScaling::kDefault;
  double factor = 1;
  double low_freq_factor = 1, high_freq_factor = 4;  // llama3
  int64_t original_max_positions = 0;                // llama3
  bool operator==(const RopeConfig&) const = default;
};

// A mixture of experts in place of each layer's MLP (Mixtral, Jiang et al. 2024): a router sends
// every token to `per_token` of `experts` MLPs of width ffn.
struct MixtureConfig {
  int64_t experts = 0;  // 0: a plain MLP
  int64_t per_token = 2;
  bool renormalise = true;    // a token's weights sum to 1; else those of the softmax over all
  bool balance = false;       // training adds coefficient * balance (graph/ops/moe_load.h)
  double coefficient = 0.02;  // of the load-balancing loss
  // Training only (graph/ops/moe_assign.h). A file does not say them.
  double capacity = 0;         // factor; 0: nothing is dropped
  bool padded = false;         // where ranks exchange rows, in messages of that size
  bool random_second = false;  // GShard's
  bool operator==(const MixtureConfig&) const = default;
};

// What a new model of a family is asked for; 0: as the family has it.
struct DecoderSizes {
  int64_t vocab = 0, width = 0, layers = 0, heads = 0, max_positions = 0;
  int64_t kv_heads = 0;  // as many as heads
  int64_t head_dim = 0;  // width / heads
  int64_t ffn = 0;       // plain: 4 width; gated: 8/3 width, up to the next multiple of 64
  int64_t experts = 0, experts_per_token = 0;  // of families with a mixture of experts
};

struct DecoderConfig {
  std::string family;  // model_type of config.json

  int64_t vocab = 0, width = 0, layers = 0;
  int64_t heads = 0, kv_heads = 0, head_dim = 0;
  int64_t ffn = 0;  // inner width of the MLP, or of each expert
  int64_t max_positions = 0;
  MixtureConfig mixture;

  graph::NormKind norm = graph::NormKind::kRms;
  double norm_eps = 1e-6;
  kernels::Activation activation = kernels::Activation::kSilu;
  bool gated = true;  // down(f(gate x) * up x) instead of down(f(up x))
  bool qkv_bias = false, o_bias = false, mlp_bias = false;
  bool tied_head = false;  // the head is the embedding
  int64_t window = 0;      // > 0: a query sees that many keys, its own included

  Positions positions = Positions::kRotary;
  RopeConfig rope;

  double embedding_dropout = 0, residual_dropout = 0, attention_dropout = 0;

  // For training from scratch. scaled_init: what writes to the residual stream starts smaller, by
  // 1 / sqrt(2 layers) (Radford et al. 2019).
  double initializer_range = 0.02;
  bool scaled_init = false;

  std::optional<int64_t> bos;
  std::vector<int64_t> eos;
  DType dtype = DType::kF32;  // of the weights as stored

  // Takes the sizes; those left at 0 follow from the others (and from `gated`).
  void resize(const DecoderSizes& sizes);
  // Throws Error naming `where` for sizes that do not go together.
  void validate(const std::string& where) const;
  DecoderConfig without_dropout() const;
  // Without all that training adds: dropout, capacity, the balance of experts.
  DecoderConfig as_inference() const;
  bool operator==(const DecoderConfig&) const = default;
};

// Learnt numbers, a tied head counted once.
int64_t parameter_count(const DecoderConfig& config);
// Those that a token meets: of experts, the ones it is sent to.
int64_t active_parameter_count(const DecoderConfig& config);

}  // namespace ashlar::models
