// Serving's attention through the Executor, keys written to the paged cache chunk by chunk, against
// attention over the keys of one batch: the same f32 bits, whatever the chunks and the blocks.
#include "ashlar/base/philox.h"
#include "ashlar/base/thread_pool.h"
#include "ashlar/graph/ops/attention.h"
#include "ashlar/passes/plan_memory.h"
#include "ashlar/runtime/executor.h"
#include "tests/graph/counter_values.h"
#include "tests/graph/golden.h"
#include "tests/graph/graph_run.h"
#include "tests/kernels/tier_fixture.h"
#include "tests/kernels/tolerance.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

namespace ashlar::graph {
namespace {

constexpr int64_t kHeads = 5, kKvHeads = 1, kDim = 80, kTableWidth = 44, kBlocks = 3 * kTableWidth;
constexpr int64_t kQWidth = kHeads * kDim, kKvWidth = kKvHeads * kDim;
const std::vector<int32_t> kLengths = {70, 33, 150}, kLongSequence = {700};

struct Inputs {
  ValueId q, k, v, row_start;
};
Inputs add_inputs(Builder& b) {
  return {b.input("q", DType::kF32, {Symbol::kTokens, kQWidth}),
          b.input("k", DType::kF32, {Symbol::kTokens, kKvWidth}),
          b.input("v", DType::kF32, {Symbol::kTokens, kKvWidth}),
          b.input("row_start", DType::kI32, {Dim(Symbol::kSeqs, 1, 1)})};
}

AttentionSpec spec_with(kernels::AttentionMask mask) {
  mask.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(kDim)));
  return {kHeads, kKvHeads, kDim, mask};
}

Graph paged_graph(const AttentionSpec& spec) {
  return forward_graph([&](Builder& b) {
    const Inputs in = add_inputs(b);
    const auto pool = [&](const std::string& name, Shape shape) {
      Variable variable;
      variable.name = name;
      variable.kind = VariableKind::kCache;
      variable.shape = shape;
      variable.trainable = false;
      return b.graph().add_variable(variable);
    };
    const VariableId k_pool = pool("k_pool", {kBlocks, kKvHeads, kDim, kernels::kCacheBlock});
    const VariableId v_pool = pool("v_pool", {kBlocks, kKvHeads, kernels::kCacheBlock, kDim});
    const PagedBatch batch{in.row_start, b.input("context", DType::kI32, {Symbol::kSeqs}),
                           b.input("block_table", DType::kI32, {Symbol::kSeqs, kTableWidth}),
                           b.input("slots", DType::kI32, {Symbol::kTokens})};
    return paged_attention(b, in.q, in.k, in.v, k_pool, v_pool, batch, spec, "attention");
  });
}

// The rows of every sequence, all in one batch.
RunData whole_batch(const std::vector<int32_t>& lengths, float scale) {
  const int32_t tokens = std::accumulate(lengths.begin(), lengths.end(), 0);
  RunData data{.bindings = bind_tokens(tokens, static_cast<int64_t>(lengths.size()))};
  data.ints["row_start"] = {0};
  for (const int32_t length : lengths) {
    data.ints["row_start"].push_back(data.ints["row_start"].back() + length);
  }
  data.floats["q"] = counter_values("q", tokens * kQWidth, scale);
  data.floats["k"] = counter_values("k", tokens * kKvWidth, scale);
  data.floats["v"] = counter_values("v", tokens * kKvWidth);
  return data;
}

// Serves the sequences of a whole batch: each step takes up to `chunk` further rows of every one.
class Server {
 public:
  Server(const Graph& graph, IsaTier tier, int64_t chunk, const std::vector<int32_t>& lengths,
         float scale)
      : chunk_(chunk), lengths_(lengths), whole_(whole_batch(lengths, scale)), table_(kBlocks) {
    store_.add_missing(graph);
    // Blocks in an order of no pattern; what they held before must not matter.
    std::iota(table_.begin(), table_.end(), 0);
    const RandomStream random(7, "blocks");
    for (size_t i = table_.size() - 1; i > 0; --i) {
      std::swap(table_[i], table_[random.below(i, i + 1)]);
    }
    for (const char* pool : {"k_pool", "v_pool"}) {
      std::ranges::fill(store_.at(pool).span<float>(), 1e30f);
    }
    const kernels::KernelTable& kernels = kernels::kernel_table(tier);
    executor_.emplace(
        graph,
        passes::plan_memory(graph, {.max = whole_.bindings, .table = &kernels, .threads = 2}),
        store_, kernels, pool_);
  }

  std::vector<float> results() {
    std::vector<float> y(whole_.floats.at("q").size());
    std::vector<int32_t> done(lengths_.size(), 0);
    while (done != lengths_) step(done, y);
    return y;
  }

 private:
  void step(std::vector<int32_t>& done, std::vector<float>& y) {
    std::vector<int32_t> row_start = {0}, context, block_table, slots;
    std::vector<size_t> rows;  // of the whole batch
    for (size_t s = 0; s < lengths_.size(); ++s) {
      const int32_t count = std::min(static_cast<int32_t>(chunk_), lengths_[s] - done[s]);
      if (count == 0) continue;
      const int32_t* blocks = table_.data() + s * kTableWidth;
      for (int32_t i = 0; i < count; ++i) {
        const int32_t position = done[s] + i;
        slots.push_back(blocks[position / 16] * 16 + position % 16);
        rows.push_back(static_cast<size_t>(whole_.ints.at("row_start")[s] + position));
      }
      done[s] += count;
      row_start.push_back(row_start.back() + count);
      context.push_back(done[s]);
      block_table.insert(block_table.end(), blocks, blocks + kTableWidth);
    }
    const auto q = picked("q", rows, kQWidth), k = picked("k", rows, kKvWidth),
               v = picked("v", rows, kKvWidth);
    executor_->bind_input("q", q.data());
    executor_->bind_input("k", k.data());
    executor_->bind_input("v", v.data());
    executor_->bind_input("row_start", row_start.data());
    executor_->bind_input("context", context.data());
    executor_->bind_input("block_table", block_table.data());
    executor_->bind_input("slots", slots.data());
    const Bindings bindings =
        bind_tokens(static_cast<int64_t>(rows.size()), static_cast<int64_t>(context.size()));
    executor_->run(0, bindings, {});
    const float* found = executor_->output("y", bindings).as<float>();
    for (size_t i = 0; i < rows.size(); ++i) {
      std::copy_n(found + i * kQWidth, kQWidth, y.data() + rows[i] * kQWidth);
    }
  }

  std::vector<float> picked(const std::string& name, const std::vector<size_t>& rows,
                            int64_t width) const {
    std::vector<float> values;
    const float* all = whole_.floats.at(name).data();
    for (const size_t row : rows) {
      const float* first = all + row * static_cast<size_t>(width);
      values.insert(values.end(), first, first + width);
    }
    return values;
  }

  int64_t chunk_;
  std::vector<int32_t> lengths_;
  RunData whole_;
  std::vector<int32_t> table_;
  ThreadPool pool_{2};
  runtime::VariableStore store_;
  std::optional<runtime::Executor> executor_;
};

class PagedAttention : public kernels::TierTest {};
ASHLAR_TEST_EACH_TIER(PagedAttention);

TEST_P(PagedAttention, HasTheBitsOfAttentionInOneBatch) {
  const kernels::AttentionMask masks[] = {{}, {.window = 50}, {.softcap = 10}};
  for (const auto& mask : masks) {
    const AttentionSpec spec = spec_with(mask);
    const Graph in_batch = forward_graph([&](Builder& b) {
      const Inputs in = add_inputs(b);
      return attention(b, in.q, in.k, in.v, in.row_start, spec, "attention");
    });
    const RunResult wanted = run_fast(in_batch, whole_batch(kLengths, 2), GetParam());
    const Graph paged = paged_graph(spec);
    for (const int64_t chunk : {1, 13, 64, 150}) {
      const std::vector<float> found = Server(paged, GetParam(), chunk, kLengths, 2).results();
      EXPECT_EQ(std::vector<double>(found.begin(), found.end()), wanted.outputs.at("y").values)
          << "chunk " << chunk << " window " << mask.window << " softcap " << mask.softcap;
    }
  }
}

// 700 tokens in chunks against PyTorch's attention over all of them.
TEST_P(PagedAttention, ChunksGiveWhatPyTorchGives) {
  for (const auto& [golden, mask] :
       {std::pair{"attention_causal", kernels::AttentionMask{}},
        std::pair{"attention_window", kernels::AttentionMask{.window = 100}}}) {
    const std::vector<float> found =
        Server(paged_graph(spec_with(mask)), GetParam(), 256, kLongSequence, 1).results();
    // Scores carry the rounding of a whole dot product and are exponentiated.
    expect_digest({found.begin(), found.end()}, read_golden(golden).at("y"),
                  2 * kernels::tolerance(DType::kF32), golden);
  }
}

}  // namespace
}  // namespace ashlar::graph
