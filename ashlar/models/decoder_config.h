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

// What a new model of a family is asked for; 0: as the family has it.
struct DecoderSizes {
  int64_t vocab = 0, width = 0, layers = 0, heads = 0, max_positions = 0;
  int64_t kv_heads = 0;  // as many as heads
  int64_t head_dim = 0;  // width / heads
  int64_t ffn = 0;       // plain: 4 width; gated: 8/3 width, up to the next multiple of 64
};

struct DecoderConfig {
  std::string family;  // model_type of config.json

  int64_t vocab = 0, width = 0, layers = 0;
  int64_t heads = 0, kv_heads = 0, head_dim = 0;
  int64_t ffn = 0;  // inner width of the MLP
  int64_t max_positions = 0;

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
  bool operator==(const DecoderConfig&) const = default;
};

// Learnt numbers, a tied head counted once.
int64_t parameter_count(const DecoderConfig& config);

}  // namespace ashlar::models
