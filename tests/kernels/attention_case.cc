#include "tests/kernels/attention_case.h"

#include "ashlar/kernels/ref/attention.h"

#include <cmath>
#include <numeric>

namespace ashlar::kernels {
namespace {

AttentionArgs arguments(const AttentionCase& shape, const AttentionInputs& inputs,
                        const std::vector<int32_t>& row_start) {
  AttentionArgs args;
  args.mask = shape.mask;
  args.tokens = shape.tokens();
  args.seqs = shape.seqs();
  args.heads = shape.heads;
  args.kv_heads = shape.kv_heads;
  args.head_dim = shape.head_dim;
  args.value_dim = shape.value_dim;
  args.row_start = row_start.data();
  args.dtype = inputs.qkv.dtype();
  args.q = inputs.q();
  args.k = inputs.k();
  args.v = inputs.v();
  args.q_stride = args.k_stride = args.v_stride = shape.fused_width();
  args.dropout = shape.dropout;
  return args;
}

constexpr uint64_t kDropoutKey = 0x9e3779b97f4a7c15;

// Head counts, head dims, masks and lengths that reach tiles, tails and block borders.
std::vector<AttentionCase> attention_cases() {
  const auto mask = [](bool causal, int64_t window, int64_t head_dim, float softcap) {
    const auto scale = static_cast<float>(1 / std::sqrt(static_cast<double>(head_dim)));
    return AttentionMask{causal, window, scale, softcap};
  };
  return {
      {{1, 7, 0, 8, 9, 17, 33}, 3, 3, 20, mask(true, 0, 20, 0)},
      {{65, 64, 63, 1}, 4, 2, 33, mask(false, 0, 33, 0)},
      {{130, 0, 96}, 2, 2, 64, mask(true, 0, 64, 0)},
      {{700}, 5, 1, 80, mask(true, 0, 80, 0)},
      {{200, 50}, 2, 1, 16, mask(true, 70, 16, 0)},
      {{100, 3}, 6, 2, 32, mask(true, 5, 32, 2.0f)},
      {{150}, 2, 2, 128, mask(true, 0, 128, 3.0f)},
      {{70}, 1, 1, 256, mask(false, 0, 256, 0)},
      {{9}, 200, 2, 16, mask(true, 0, 16, 0)},  // more heads to a group than rows to a tile
      {{1100}, 1, 1, 16, mask(true, 600, 16, 0)},
      {{200, 50, 1}, 2, 1, 16, mask(false, 70, 16, 0)},
      {{100, 3}, 6, 2, 33, mask(false, 2, 33, 0)},
      {{300}, 4, 2, 64, mask(false, 65, 64, 0)},
      // Dropout, tokens and heads counted from elsewhere than 0 too.
      {{1, 7, 0, 8, 9, 17, 33}, 3, 3, 20, mask(true, 0, 20, 0), {0.1f, 5, 1, 0, 0}},
      {{300}, 4, 2, 80, mask(true, 0, 80, 0), {0.1f, kDropoutKey, 77, 4096, 0}},
      {{120, 65, 0, 64}, 6, 2, 33, mask(false, 0, 33, 0), {0.5f, kDropoutKey, 2, 999, 6}},
      {{200, 50}, 5, 1, 64, mask(true, 70, 64, 0), {0.25f, kDropoutKey, 3, 1 << 20, 0}},
      {{90, 33}, 2, 2, 16, mask(true, 20, 16, 2.0f), {0.9f, 1, 4, 7, 2}},
      {{9}, 200, 2, 16, mask(true, 0, 16, 0), {0.3f, kDropoutKey, 5, 0, 0}},
      // Values narrower and wider than keys.
      {{1, 7, 0, 130, 33}, 3, 3, 24, mask(true, 0, 24, 0), {}, 16},
      {{200, 50}, 2, 2, 48, mask(true, 70, 48, 3.0f), {0.25f, kDropoutKey, 3, 5, 0}, 33},
      {{90, 65}, 4, 2, 20, mask(false, 0, 20, 0), {}, 52},
  };
}

}  // namespace

int64_t AttentionCase::tokens() const {
  return std::accumulate(lengths.begin(), lengths.end(), int64_t{0});
}

std::vector<int32_t> AttentionCase::row_start() const {
  std::vector<int32_t> starts = {0};
  for (const int32_t length : lengths) starts.push_back(starts.back() + length);
  return starts;
}

AttentionCase AttentionCase::sequence(int64_t first, int32_t length) const {
  AttentionCase one = *this;
  one.lengths = {length};
  one.dropout.first_token += static_cast<uint64_t>(first);
  return one;
}

std::ostream& operator<<(std::ostream& out, const AttentionCase& c) {
  out << c.heads << " heads of " << c.head_dim << "/" << c.values() << " over " << c.kv_heads
      << ", lengths";
  for (const int32_t length : c.lengths) out << ' ' << length;
  return out << (c.mask.causal ? ", causal" : ", full") << ", window " << c.mask.window
             << ", softcap " << c.mask.softcap << ", dropout " << c.dropout.rate;
}

AttentionInputs::AttentionInputs(const AttentionCase& shape, DType dtype)
    : heads(shape.heads),
      kv_heads(shape.kv_heads),
      head_dim(shape.head_dim),
      width(shape.fused_width()),
      qkv(dtype, random_values("qkv", shape.tokens() * shape.fused_width())) {}

AttentionInputs AttentionInputs::rows(int64_t begin, int64_t count) const {
  AttentionInputs part = *this;
  part.qkv = qkv.slice(begin * width, count * width);
  return part;
}

const void* AttentionInputs::at(int64_t element) const {
  return static_cast<const std::byte*>(qkv.data()) + element * size_of(qkv.dtype());
}

AttentionOutputs run_attention(const KernelTable& table, TestTeam& team, const AttentionCase& shape,
                               const AttentionInputs& inputs) {
  AttentionOutputs outputs{Array(inputs.qkv.dtype(), shape.tokens() * shape.heads * shape.values()),
                           Array(DType::kF32, shape.tokens() * shape.heads)};
  const std::vector<int32_t> row_start = shape.row_start();
  AttentionArgs args = arguments(shape, inputs, row_start);
  args.out = outputs.out.data();
  args.lse = outputs.lse.floats();
  table.attention(args, team.with_scratch(table.attention_scratch(args, team.threads())));
  return outputs;
}

AttentionGradients run_attention_grad(const KernelTable& table, TestTeam& team,
                                      const AttentionCase& shape, const AttentionInputs& inputs,
                                      const AttentionOutputs& outputs, const Array& d_out) {
  const DType dtype = inputs.qkv.dtype();
  const int64_t kv_rows = shape.tokens() * shape.kv_heads;
  AttentionOutputs copy = outputs;
  AttentionGradients gradients{Array(dtype, shape.tokens() * shape.heads * shape.head_dim),
                               Array(dtype, kv_rows * shape.head_dim),
                               Array(dtype, kv_rows * shape.values())};
  const std::vector<int32_t> row_start = shape.row_start();
  AttentionGradArgs args;
  args.forward = arguments(shape, inputs, row_start);
  args.forward.out = copy.out.data();
  args.forward.lse = copy.lse.floats();
  args.d_out = d_out.data();
  args.d_q = gradients.d_q.data();
  args.d_k = gradients.d_k.data();
  args.d_v = gradients.d_v.data();
  table.attention_grad(args, team.with_scratch(table.attention_grad_scratch(args, team.threads())));
  EXPECT_EQ(copy, outputs) << "inputs of the gradient were written to";
  return gradients;
}

AttentionReference attention_reference(const AttentionCase& shape, const AttentionInputs& inputs,
                                       const std::vector<double>& d_out) {
  const std::vector<double> qkv = inputs.qkv.values();
  const std::vector<int32_t> row_start = shape.row_start();
  const auto size = [&](int64_t width) { return static_cast<size_t>(shape.tokens() * width); };
  AttentionReference wanted;
  wanted.out.resize(size(shape.heads * shape.values()));
  wanted.lse.resize(size(shape.heads));
  ref::AttentionArgs args;
  args.mask = shape.mask;
  args.tokens = shape.tokens();
  args.seqs = shape.seqs();
  args.heads = shape.heads;
  args.kv_heads = shape.kv_heads;
  args.head_dim = shape.head_dim;
  args.value_dim = shape.value_dim;
  args.row_start = row_start.data();
  args.q = qkv.data();
  args.k = args.q + shape.heads * shape.head_dim;
  args.v = args.k + shape.kv_heads * shape.head_dim;
  args.q_stride = args.k_stride = args.v_stride = shape.fused_width();
  args.dropout = shape.dropout;
  args.out = wanted.out.data();
  args.lse = wanted.lse.data();
  ref::attention(args);
  if (d_out.empty()) return wanted;

  // The gradient reads the output as the kernel left it, rounded.
  std::vector<double> out = rounded(inputs.qkv.dtype(), wanted.out);
  args.out = out.data();
  wanted.d_q.resize(size(shape.heads * shape.head_dim));
  wanted.d_k.resize(size(shape.kv_heads * shape.head_dim));
  wanted.d_v.resize(size(shape.kv_heads * shape.values()));
  ref::attention_grad(
      {args, d_out.data(), wanted.d_q.data(), wanted.d_k.data(), wanted.d_v.data()});
  return wanted;
}

std::ostream& operator<<(std::ostream& out, const AttentionExample& example) {
  return out << example.shape << ", " << name(example.inputs.qkv.dtype());
}

const std::vector<AttentionExample>& attention_examples() {
  static const std::vector<AttentionExample> examples = [] {
    std::vector<AttentionExample> made;
    for (const AttentionCase& shape : attention_cases()) {
      for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
        const AttentionInputs inputs(shape, dtype);
        const Array d_out(dtype,
                          random_values("d_out", shape.tokens() * shape.heads * shape.values()));
        made.push_back({shape, inputs, d_out, attention_reference(shape, inputs, d_out.values())});
      }
    }
    return made;
  }();
  return examples;
}

}  // namespace ashlar::kernels
