#include "tests/graph/blocks.h"

#include "ashlar/graph/ops/attention.h"
#include "ashlar/graph/ops/elementwise.h"
#include "ashlar/graph/ops/linear.h"
#include "ashlar/graph/ops/norm.h"
#include "ashlar/graph/ops/rope.h"
#include "tests/graph/counter_values.h"

#include <cmath>
#include <numbers>
#include <numeric>

namespace ashlar::graph {
namespace {

constexpr int64_t kTokens = 700, kWidth = 320, kHeadDim = 80, kFfn = 1408;

ValueId project(Builder& b, ValueId x, const std::string& name, int64_t out, bool bias) {
  const int64_t in = b.type(x).shape[1].offset;
  const ValueId weight = b.parameter(name + ".weight", {out, in}, {}, {});
  LinearOptions options;
  if (bias) options.bias = b.parameter(name + ".bias", {out}, {}, {});
  return linear(b, x, weight, options, name);
}

ValueId attend(Builder& b, ValueId q, ValueId k, ValueId v) {
  const ValueId row_start = b.input("row_start", DType::kI32, {Dim(Symbol::kSeqs, 1, 1)});
  AttentionSpec spec{
      b.type(q).shape[1].offset / kHeadDim, b.type(k).shape[1].offset / kHeadDim, kHeadDim, {}};
  spec.mask.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(kHeadDim)));
  return attention(b, q, k, v, row_start, spec, "attention");
}

void set(RunData& data, const std::string& name, int64_t n, double scale, float offset = 0) {
  data.floats[name] = counter_values(name, n, static_cast<float>(scale), offset);
}

void set_matrix(RunData& data, const std::string& name, int64_t out, int64_t in) {
  set(data, name + ".weight", out * in, 1 / std::sqrt(static_cast<double>(in)));
}

}  // namespace

std::vector<float> llama3_table(int64_t positions, int64_t dim) {
  constexpr double kFactor = 8, kLow = 1, kHigh = 4, kOldPositions = 256;
  std::vector<float> table(static_cast<size_t>(positions * dim));
  const int64_t half = dim / 2;
  for (int64_t i = 0; i < half; ++i) {
    double f = std::pow(10000.0, -2.0 * static_cast<double>(i) / static_cast<double>(dim));
    const double wavelength = 2 * std::numbers::pi / f;
    if (wavelength > kOldPositions / kLow) {
      f /= kFactor;
    } else if (wavelength >= kOldPositions / kHigh) {
      const double smooth = (kOldPositions / wavelength - kLow) / (kHigh - kLow);
      f = (1 - smooth) * f / kFactor + smooth * f;
    }
    for (int64_t p = 0; p < positions; ++p) {
      const double angle = static_cast<double>(p) * f;
      table[static_cast<size_t>(p * dim + i)] = static_cast<float>(std::cos(angle));
      table[static_cast<size_t>(p * dim + half + i)] = static_cast<float>(std::sin(angle));
    }
  }
  return table;
}

std::vector<int32_t> counting(int64_t n) {
  std::vector<int32_t> numbers(static_cast<size_t>(n));
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

ValueId llama_block(Builder& b, ValueId x) {
  const auto norm = [&](ValueId value, const std::string& name) {
    return rms_norm(b, value, b.parameter(name + ".weight", {kWidth}, {}, {}), 1e-5, name);
  };
  const ValueId positions = b.input("positions", DType::kI32, {Symbol::kTokens});
  const ValueId table = b.constant("table", {kTokens, kHeadDim}, llama3_table(kTokens, kHeadDim));
  const ValueId h = norm(x, "norm1");
  const ValueId q = rope(b, project(b, h, "q", 5 * kHeadDim, false), positions, table,
                         {5, kHeadDim, kHeadDim, false}, "rope_q");
  const ValueId k = rope(b, project(b, h, "k", kHeadDim, false), positions, table,
                         {1, kHeadDim, kHeadDim, false}, "rope_k");
  const ValueId v = project(b, h, "v", kHeadDim, false);
  const ValueId o = project(b, attend(b, q, k, v), "o", kWidth, false);
  const ValueId middle = add(b, x, o, "residual1");
  const ValueId h2 = norm(middle, "norm2");
  const ValueId inner =
      gated(b, project(b, h2, "gate", kFfn, false), project(b, h2, "up", kFfn, false),
            kernels::Activation::kSilu, "swiglu");
  return add(b, middle, project(b, inner, "down", kWidth, false), "residual2");
}

ValueId gpt2_block(Builder& b, ValueId x) {
  const auto norm = [&](ValueId value, const std::string& name) {
    return layer_norm(b, value, b.parameter(name + ".weight", {kWidth}, {}, {}),
                      b.parameter(name + ".bias", {kWidth}, {}, {}), 1e-5, name);
  };
  const ValueId h = norm(x, "norm1");
  const ValueId out = attend(b, project(b, h, "q", kWidth, true), project(b, h, "k", kWidth, true),
                             project(b, h, "v", kWidth, true));
  const ValueId middle = add(b, x, project(b, out, "o", kWidth, true), "residual1");
  const ValueId up = project(b, norm(middle, "norm2"), "up", 4 * kWidth, true);
  const ValueId inner = activation(b, up, kernels::Activation::kGeluTanh, "gelu");
  return add(b, middle, project(b, inner, "down", kWidth, true), "residual2");
}

RunData llama_block_data() {
  RunData data{.bindings = bind_tokens(kTokens)};
  data.ints["positions"] = counting(kTokens);
  data.ints["row_start"] = {0, static_cast<int32_t>(kTokens)};
  for (const auto* name : {"norm1.weight", "norm2.weight"}) set(data, name, kWidth, 0.2, 1);
  set_matrix(data, "q", 5 * kHeadDim, kWidth);
  set_matrix(data, "k", kHeadDim, kWidth);
  set_matrix(data, "v", kHeadDim, kWidth);
  set_matrix(data, "o", kWidth, 5 * kHeadDim);
  set_matrix(data, "gate", kFfn, kWidth);
  set_matrix(data, "up", kFfn, kWidth);
  set_matrix(data, "down", kWidth, kFfn);
  return data;
}

RunData gpt2_block_data() {
  RunData data{.bindings = bind_tokens(kTokens, 2)};
  data.ints["row_start"] = {0, 300, static_cast<int32_t>(kTokens)};
  for (const auto* name : {"norm1", "norm2"}) {
    set(data, name + std::string(".weight"), kWidth, 0.2, 1);
    set(data, name + std::string(".bias"), kWidth, 0.1);
  }
  for (const auto* name : {"q", "k", "v", "o"}) {
    set_matrix(data, name, kWidth, kWidth);
    set(data, name + std::string(".bias"), kWidth, 0.1);
  }
  set_matrix(data, "up", 4 * kWidth, kWidth);
  set(data, "up.bias", 4 * kWidth, 0.1);
  set_matrix(data, "down", kWidth, 4 * kWidth);
  set(data, "down.bias", kWidth, 0.1);
  return data;
}

Graph block_graph(ValueId (*block)(Builder& b, ValueId x)) {
  return with_backward([&](Builder& b) {
    return block(b, b.input("x", DType::kF32, {Symbol::kTokens, kWidth}));
  });
}

}  // namespace ashlar::graph
