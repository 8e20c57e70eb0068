#include "tests/graph/context_case.h"

#include "tests/graph/counter_values.h"
#include "tests/graph/graph_run.h"

#include <algorithm>
#include <numeric>

namespace ashlar::graph {

int64_t ContextCase::rows() const {
  return std::accumulate(lengths.begin(), lengths.end(), int64_t{0});
}

AttentionSpec ContextCase::spec() const {
  AttentionSpec spec{.heads = heads, .kv_heads = kv_heads, .head_dim = head_dim, .mask = mask};
  spec.dropout = dropout;
  spec.value_dim = value_dim;
  spec.dropout_path = "attend";
  return spec;
}

std::vector<int32_t> ContextCase::row_start() const {
  std::vector<int32_t> starts = {0};
  for (const int32_t length : lengths) starts.push_back(starts.back() + length);
  return starts;
}

std::ostream& operator<<(std::ostream& out, const ContextCase& c) {
  return out << c.name << ", " << c.ranks << " ranks" << (c.cut.zigzag ? ", zigzag" : "");
}

const std::vector<ContextCase>& context_cases() {
  static const std::vector<ContextCase> cases = [] {
    using kernels::AttentionMask;
    const AttentionMask causal{.causal = true, .scale = 0.5f};
    const AttentionMask full{.causal = false, .scale = 0.5f};
    const AttentionMask window{.causal = true, .window = 20, .scale = 0.5f};
    const AttentionMask both_sides{.causal = false, .window = 20, .scale = 0.5f};
    const AttentionMask capped{.causal = true, .window = 7, .scale = 0.5f, .softcap = 2};
    // Documents that end inside pieces, one of a single token and one that is empty.
    const std::vector<int32_t> packed = {7, 41, 0, 1, 15, 64};
    std::vector<ContextCase> made;
    for (const int ranks : {1, 2, 3, 4}) {
      for (const bool zigzag : {false, true}) {
        const ContextCut one{48, zigzag}, two{64, zigzag}, uneven{50, zigzag};
        made.push_back({"causal", ranks, one, {48}, causal});
        made.push_back({"full", ranks, two, {64, 64}, full});
        made.push_back({"window", ranks, two, {64, 64}, window, 4, 2});
        made.push_back({"packed", ranks, two, packed, causal, 6, 3, 16});
        made.push_back({"packed full", ranks, two, packed, full, 3, 1});
        made.push_back({"uneven", ranks, uneven, {50, 20, 30}, capped});
        made.push_back({"narrow values", ranks, uneven, {50, 20, 30}, causal, 2, 2, 9, 0, 5});
        made.push_back({"dropout", ranks, two, packed, causal, 4, 2, 9, 0.3});
        made.push_back({"window to both sides", ranks, two, {64, 64}, both_sides, 4, 2});
      }
    }
    // A document over several rows, and key blocks of several tiles.
    made.push_back({"long", 3, {200, true}, {37, 363}, causal, 2, 1, 32});
    made.push_back({"long window", 2, {600, false}, {600}, window, 2, 1, 32});
    return made;
  }();
  return cases;
}

AttentionTensors context_inputs(const ContextCase& c, DType dtype) {
  const auto matrix = [&](const char* name, int64_t heads, int64_t head_dim) {
    const int64_t width = heads * head_dim;
    return floats(dtype, Shape{c.rows(), width}, counter_values(name, c.rows() * width));
  };
  const int64_t values = c.spec().values();
  return {matrix("q", c.heads, c.head_dim), matrix("k", c.kv_heads, c.head_dim),
          matrix("v", c.kv_heads, values), matrix("d_out", c.heads, values)};
}

AttentionTensors rows_of(const AttentionTensors& all, const std::vector<RowRun>& runs) {
  return {gather_runs(all.q, runs), gather_runs(all.k, runs), gather_runs(all.v, runs),
          gather_runs(all.d_out, runs)};
}

AttentionResults dense_results(const ContextCase& c, DType dtype) {
  AttentionTensors in = context_inputs(c, dtype);
  for (Tensor* x : {&in.q, &in.k, &in.v, &in.d_out}) *x = x->to(DType::kF64);
  const Tensor row_start = ints(c.row_start());
  const OpRun run{kContextState};
  AttentionResults results = run_op_f64(AttentionOp(c.spec()), {in.q, in.k, in.v, row_start}, run);
  const Tensor out = results[0].to(dtype).to(DType::kF64);  // as the kernel leaves it
  for (const Tensor& gradient :
       run_op_f64(AttentionGradOp(c.spec()),
                  {in.q, in.k, in.v, row_start, out, results[1], in.d_out}, run)) {
    results.push_back(gradient);
  }
  return results;
}

Tensor gather_runs(const Tensor& x, const std::vector<RowRun>& runs) {
  int64_t rows = 0;
  for (const RowRun& run : runs) rows += run.count;
  Tensor part(x.dtype(), Shape{rows, x.shape()[1]});
  for (const RowRun& run : runs) {
    const Tensor from = x.rows(run.first, run.first + run.count);
    Tensor to = part.rows(run.local, run.local + run.count);
    std::copy_n(from.data(), from.bytes(), to.data());
  }
  return part;
}

void place_runs(const Tensor& part, const std::vector<RowRun>& runs, Tensor& whole) {
  for (const RowRun& run : runs) {
    const Tensor from = part.rows(run.local, run.local + run.count);
    Tensor to = whole.rows(run.first, run.first + run.count);
    std::copy_n(from.data(), from.bytes(), to.data());
  }
}

void expect_results(const AttentionResults& found, const AttentionResults& wanted,
                    double tolerance) {
  for (size_t i = 0; i < wanted.size(); ++i) {
    expect_close(doubles(found[i]), doubles(wanted[i]), tolerance, kResultNames[i]);
  }
}

}  // namespace ashlar::graph
