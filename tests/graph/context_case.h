// Attention of one microbatch, by one process and by the ranks of a context axis: inputs, the dense
// result in double, and taking a rank's rows out of a tensor and putting them back.
#pragma once

#include "ashlar/graph/context_rows.h"
#include "ashlar/graph/ops/attention.h"
#include "tests/graph/op_run.h"

#include <ostream>
#include <vector>

namespace ashlar::graph {

struct ContextCase {
  const char* name;
  int ranks;
  ContextCut cut;
  std::vector<int32_t> lengths;  // of the documents
  kernels::AttentionMask mask = {.causal = true, .scale = 0.5f};
  int64_t heads = 2, kv_heads = 2, head_dim = 9;
  double dropout = 0;
  int64_t value_dim = 0;  // 0: head_dim

  int64_t rows() const;
  AttentionSpec spec() const;
  std::vector<int32_t> row_start() const;
};
std::ostream& operator<<(std::ostream& out, const ContextCase& c);
const std::vector<ContextCase>& context_cases();

inline constexpr RunState kContextState{.seed = 3, .step = 2, .first_token = 1000};

struct AttentionTensors {  // of all rows, or of some
  Tensor q, k, v, d_out;
};
AttentionTensors context_inputs(const ContextCase& c, DType dtype);
AttentionTensors rows_of(const AttentionTensors& all, const std::vector<RowRun>& runs);

// out, lse, d_q, d_k, d_v.
using AttentionResults = std::vector<Tensor>;
inline constexpr const char* kResultNames[] = {"out", "lse", "d_q", "d_k", "d_v"};
// By one process, in double, from inputs rounded to the dtype, and the gradients from out rounded.
AttentionResults dense_results(const ContextCase& c, DType dtype);

Tensor gather_runs(const Tensor& x, const std::vector<RowRun>& runs);
void place_runs(const Tensor& part, const std::vector<RowRun>& runs, Tensor& whole);
// Each of the results against the dense ones, relative to the root mean square of all its elements.
void expect_results(const AttentionResults& found, const AttentionResults& wanted,
                    double tolerance);

}  // namespace ashlar::graph
