// Inputs of attention tests: sequences of given lengths with q, k and v in one fused [T, (H + 2K)
// D] array, as a linear layer leaves them (values may have a head size of their own), and the
// references of what kernels make of them.
#pragma once

#include "ashlar/kernels/args.h"
#include "ashlar/kernels/table.h"
#include "tests/kernels/array.h"
#include "tests/kernels/tier_fixture.h"

#include <cstdint>
#include <ostream>
#include <vector>

namespace ashlar::kernels {

struct AttentionCase {
  std::vector<int32_t> lengths;
  int64_t heads = 1, kv_heads = 1, head_dim = 16;
  AttentionMask mask;
  AttentionDropout dropout = {};
  int64_t value_dim = 0;  // 0: head_dim

  int64_t tokens() const;
  int64_t seqs() const { return static_cast<int64_t>(lengths.size()); }
  std::vector<int32_t> row_start() const;
  // The sequence of rows [first, first + length) alone, as the same tokens of the step.
  AttentionCase sequence(int64_t first, int32_t length) const;
  int64_t values() const { return value_dim > 0 ? value_dim : head_dim; }
  int64_t fused_width() const { return (heads + kv_heads) * head_dim + kv_heads * values(); }
};
std::ostream& operator<<(std::ostream& out, const AttentionCase& c);

struct AttentionInputs {
  AttentionInputs(const AttentionCase& shape, DType dtype);
  // The rows [begin, begin + count) alone.
  AttentionInputs rows(int64_t begin, int64_t count) const;

  int64_t heads, kv_heads, head_dim, width;
  Array qkv;  // [T, width]
  const void* q() const { return at(0); }
  const void* k() const { return at(heads * head_dim); }
  const void* v() const { return at((heads + kv_heads) * head_dim); }

 private:
  const void* at(int64_t element) const;
};

struct AttentionOutputs {
  Array out, lse;
  friend bool operator==(const AttentionOutputs&, const AttentionOutputs&) = default;
};
AttentionOutputs run_attention(const KernelTable& table, TestTeam& team, const AttentionCase& shape,
                               const AttentionInputs& inputs);

struct AttentionGradients {
  Array d_q, d_k, d_v;
  friend bool operator==(const AttentionGradients&, const AttentionGradients&) = default;
};
AttentionGradients run_attention_grad(const KernelTable& table, TestTeam& team,
                                      const AttentionCase& shape, const AttentionInputs& inputs,
                                      const AttentionOutputs& outputs, const Array& d_out);

struct AttentionReference {
  std::vector<double> out, lse, d_q, d_k, d_v;
};
// The gradients are those at d_out; left out when it is empty.
AttentionReference attention_reference(const AttentionCase& shape, const AttentionInputs& inputs,
                                       const std::vector<double>& d_out);

// Every case in f32, bf16 and f16 with its reference, computed once for all tests.
struct AttentionExample {
  AttentionCase shape;
  AttentionInputs inputs;
  Array d_out;
  AttentionReference wanted;
};
std::ostream& operator<<(std::ostream& out, const AttentionExample& example);
const std::vector<AttentionExample>& attention_examples();

}  // namespace ashlar::kernels
