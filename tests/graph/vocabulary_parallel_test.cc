// A vocabulary shared by ranks: the embedding and the loss of 2 to 4 ranks, as the ops make
// themselves for each, against one rank that has all of it; and what the ranks tell each other.
#include "ashlar/base/error.h"
#include "ashlar/comm/thread_ranks.h"
#include "ashlar/graph/ops/loss.h"
#include "ashlar/graph/ops/rows.h"
#include "ashlar/passes/fuse.h"
#include "tests/graph/counter_values.h"
#include "tests/graph/graph_run.h"
#include "tests/kernels/tier_fixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ashlar::graph {
namespace {

constexpr int64_t kWidth = 9;
const ValueType kX{DType::kF32, {Symbol::kTokens, kWidth}};
const ValueType kIds{DType::kI32, {Symbol::kTokens}};
const ValueType kScalar{DType::kF32, {1}};

ValueType table_type(int64_t rows) { return {DType::kF32, {rows, kWidth}}; }
using Wants = LinearCrossEntropyGradOp::Wants;

// Graphs for one rank: `take(op, inputs, placements)` gives the form of an op for it.
class RankGraph {
 public:
  RankGraph(int64_t vocab, int ranks, int rank)
      : vocab_(vocab), mesh_({{"tensor", ranks}}), rank_(rank) {}

  Slice rows() const { return slice_of(vocab_, mesh_.size(), rank_); }

  OpPtr take(OpPtr op, const std::vector<ValueType>& whole, size_t strategy) const {
    const std::vector<AxisPlacement> now(whole.size());
    const auto ways = op->strategies({.axis = "tensor", .inputs = whole, .now = now});
    std::vector<Placement> placements;
    std::vector<ValueType> parts = whole;
    for (size_t i = 0; i < whole.size(); ++i) {
      placements.push_back({{ways.at(strategy).inputs.at(i)}});
      if (placements.back().axes[0].is_split()) parts[i].shape[0] = rows().length;
    }
    const LocalSite site{.mesh = mesh_,
                         .rank = rank_,
                         .inputs = parts,
                         .whole = whole,
                         .placements = placements,
                         .context = {},
                         .label = "head"};
    const auto local = op->local(site);
    return local ? local : op;
  }

  // The loss with both gradients as three nodes, as differentiation writes them; `fused`: as one.
  Graph loss(bool fused) const {
    const std::vector<ValueType> head = {kX, table_type(vocab_), kIds, kScalar};
    auto with_grad = head;
    with_grad.push_back(table_type(vocab_));
    Graph graph;
    std::vector<ValueId> in = {graph.add_input("x", kX), parameter(graph, "w"),
                               graph.add_input("targets", kIds), graph.add_input("scale", kScalar)};
    const ValueId grad = parameter(graph, "w.grad");
    const auto y = graph.add_node(take(std::make_shared<LinearCrossEntropyOp>(), head, 1), in,
                                  Phase::kForward, -1, "head");
    in.push_back(ValueId{});
    const auto grad_op = [&](Wants wants) {
      return take(std::make_shared<LinearCrossEntropyGradOp>(wants), with_grad, 1);
    };
    const auto d_x = graph.add_node(grad_op({.input_grad = true}), in, Phase::kInputGrad, -1, "b");
    in[4] = grad;
    graph.add_node(grad_op({.weight_grad = true, .first = true}), in, Phase::kWeightGrad, -1, "w");
    graph.mark_output("y", y[0]);
    graph.mark_output("d_x", d_x[0]);
    return fused ? passes::fuse(graph) : graph;
  }

  // y = table[ids] + addend, and what an input d_y adds to the table's gradient.
  Graph embedding() const {
    Graph graph;
    const ValueId table = parameter(graph, "w"), grad = parameter(graph, "w.grad");
    const ValueId ids = graph.add_input("targets", kIds), add = graph.add_input("x", kX);
    const auto y = graph.add_node(
        take(std::make_shared<GatherRowsOp>(DType::kF32), {table_type(vocab_), kIds, kX}, 1),
        {table, ids, rank_ == 0 ? add : ValueId{}}, Phase::kForward, -1, "embed");
    graph.add_node(
        take(std::make_shared<ScatterAddRowsOp>(true), {kIds, kX, table_type(vocab_)}, 1),
        {ids, add, grad}, Phase::kWeightGrad, -1, "embed_grad");
    graph.mark_output("y", y[0]);
    return graph;
  }

 private:
  ValueId parameter(Graph& graph, const std::string& name) const {
    Variable variable;
    variable.name = name;
    variable.shape = {rows().length, kWidth};
    return graph.current(graph.add_variable(std::move(variable)));
  }

  int64_t vocab_;
  Mesh mesh_;
  int rank_;
};

// A case: rows of tokens, of which those with targets below 0 are not counted.
struct Case {
  int64_t rows, vocab;
  enum class Mask : uint8_t { kNone, kSome, kFirst, kAll } mask;

  std::vector<int32_t> targets() const {
    auto ids = counter_ids("targets", rows, vocab);
    for (size_t t = 0; t < ids.size(); ++t) {
      const bool masked = mask == Mask::kAll || (mask == Mask::kSome && t % 3 == 1) ||
                          (mask == Mask::kFirst && t < ids.size() / 2);
      if (masked) ids[t] = -1;
    }
    return ids;
  }
};
constexpr Case kCases[] = {{1, 4, Case::Mask::kNone},   {7, 5, Case::Mask::kSome},
                           {12, 17, Case::Mask::kNone}, {33, 101, Case::Mask::kFirst},
                           {8, 33, Case::Mask::kAll},   {5, 1000, Case::Mask::kSome},
                           {3, 3, Case::Mask::kNone}};  // on 4 ranks one has no row

RunData data_of(const Case& test, Slice rows) {
  RunData data{.bindings = bind_tokens(test.rows)};
  data.floats["scale"] = {1.0f / static_cast<float>(test.rows)};
  data.ints["targets"] = test.targets();
  for (const char* name : {"w", "w.grad"}) {
    const auto whole = counter_values(name, test.vocab * kWidth, 2);
    data.floats[name] = {whole.begin() + rows.offset * kWidth, whole.begin() + rows.end() * kWidth};
  }
  return data;
}

// The ranks' results as those of one: terms of `term` added up, rows of gradients laid end to end.
struct Gathered {
  std::vector<RunResult> ranks;
  int64_t bytes = 0;  // sent by all
  std::vector<int64_t> bytes_of;

  std::vector<double> sum(const std::string& output) const {
    std::vector<double> total(ranks[0].outputs.at(output).values.size());
    for (const RunResult& rank : ranks) {
      const auto& term = rank.outputs.at(output).values;
      for (size_t i = 0; i < total.size(); ++i) total[i] += term[i];
    }
    return total;
  }
  std::vector<double> grad() const {
    std::vector<double> all;
    for (const RunResult& rank : ranks) {
      const auto& rows = rank.variables.at("w.grad").values;
      all.insert(all.end(), rows.begin(), rows.end());
    }
    return all;
  }
};

enum class In : uint8_t { kDouble, kF32 };

template <typename Build>
Gathered run_on(int ranks, const Case& test, In in, Build build, IsaTier tier = best_isa_tier()) {
  Gathered result;
  result.ranks.resize(static_cast<size_t>(ranks));
  result.bytes_of.resize(static_cast<size_t>(ranks));
  comm::run_ranks(ranks, [&](comm::Communicator& comm) {
    const RankGraph rank(test.vocab, ranks, comm.rank());
    const Graph graph = build(rank);
    const RunData data = data_of(test, rank.rows());
    const auto at = static_cast<size_t>(comm.rank());
    result.ranks[at] = in == In::kDouble ? run_reference(graph, data, &comm)
                                         : run_fast(graph, data, tier, 1, &comm);
    result.bytes_of[at] = comm.counters().of("tensor", comm::CommOp::kAllReduce).bytes;
    EXPECT_EQ(comm.counters().total().bytes, result.bytes_of[at]);  // nothing else
  });
  for (const int64_t bytes : result.bytes_of) result.bytes += bytes;
  return result;
}

class VocabularyParallel : public kernels::TierTest {};
ASHLAR_TEST_EACH_TIER(VocabularyParallel);

void expect_loss_of_one(const Gathered& found, const RunResult& one, double tolerance,
                        const std::string& what) {
  for (const RunResult& rank : found.ranks) {
    expect_close(rank.outputs.at("y").values, one.outputs.at("y").values, tolerance, what);
    EXPECT_EQ(rank.outputs.at("y").values, found.ranks[0].outputs.at("y").values) << what;
  }
  expect_close(found.sum("d_x"), one.outputs.at("d_x").values, tolerance, what + " d_x");
  expect_close(found.grad(), one.variables.at("w.grad").values, tolerance, what + " w.grad");
}

TEST(VocabularyParallelReference, LossEqualsOneRankInDouble) {
  for (const Case& test : kCases) {
    const RunResult one =
        run_reference(RankGraph(test.vocab, 1, 0).loss(false), data_of(test, {0, test.vocab}));
    for (const int ranks : {2, 3, 4}) {
      for (const bool fused : {false, true}) {
        const Gathered found = run_on(ranks, test, In::kDouble,
                                      [&](const RankGraph& rank) { return rank.loss(fused); });
        expect_loss_of_one(found, one, 1e-10,
                           fmt::format("{} x {} over {}", test.rows, test.vocab, ranks));
      }
    }
  }
}

TEST_P(VocabularyParallel, LossEqualsOneRankInF32) {
  for (const Case& test : kCases) {
    const RunResult one = run_fast(RankGraph(test.vocab, 1, 0).loss(true),
                                   data_of(test, {0, test.vocab}), GetParam());
    for (const int ranks : {2, 3, 4}) {
      const Gathered found = run_on(
          ranks, test, In::kF32, [](const RankGraph& rank) { return rank.loss(true); }, GetParam());
      expect_loss_of_one(found, one, 2e-6,
                         fmt::format("{} x {} over {}", test.rows, test.vocab, ranks));
    }
  }
}

TEST_P(VocabularyParallel, EmbeddingEqualsOneRank) {
  for (Case test : kCases) {
    if (test.mask != Case::Mask::kNone) test.mask = Case::Mask::kNone;  // ids, here
    const auto embedding = [](const RankGraph& rank) { return rank.embedding(); };
    const RunData whole = data_of(test, {0, test.vocab});
    const RunResult one = run_reference(RankGraph(test.vocab, 1, 0).embedding(), whole);
    for (const int ranks : {2, 3, 4}) {
      for (const In in : {In::kDouble, In::kF32}) {
        const Gathered found = run_on(ranks, test, in, embedding, GetParam());
        const double tolerance = in == In::kDouble ? 1e-10 : 1e-6;
        expect_close(found.sum("y"), one.outputs.at("y").values, tolerance, "y");
        expect_close(found.grad(), one.variables.at("w.grad").values, tolerance, "w.grad");
        EXPECT_EQ(found.bytes, 0);  // whoever needs the sum brings it together
      }
    }
  }
}

// Three numbers a row, 4 bytes each, are all-reduced: 2 (p-1) times that over all ranks, whatever
// the vocabulary; and once for the loss and its gradients, where they are fused.
TEST(VocabularyParallelBytes, ThreeNumbersARow) {
  const auto fused = [](const RankGraph& rank) { return rank.loss(true); };
  const auto parts = [](const RankGraph& rank) { return rank.loss(false); };
  for (const int ranks : {2, 3, 4}) {
    for (const int64_t rows : {1, 7, 12, 24}) {
      for (const int64_t vocab : {8, 101, 1000}) {
        const Case test{rows, vocab, Case::Mask::kSome};
        const int64_t once = 2 * (ranks - 1) * 3 * rows * 4;
        const Gathered found = run_on(ranks, test, In::kF32, fused);
        EXPECT_EQ(found.bytes, once) << rows << " x " << vocab << " over " << ranks;
        if (rows % ranks == 0) {
          for (const int64_t bytes : found.bytes_of) EXPECT_EQ(bytes * ranks, once);
        }
        EXPECT_EQ(run_on(ranks, test, In::kF32, parts).bytes, 3 * once);
      }
    }
  }
}

TEST(VocabularyParallelGraph, FuseKeepsTheSlice) {
  EXPECT_THAT(
      RankGraph(101, 3, 1).loss(true).str(),
      ::testing::HasSubstr("loss input_grad weight_grad first rows 34..68 over tensor of 3"));
}

TEST(VocabularyParallelGraph, WantsACommunicator) {
  const Case test{4, 8, Case::Mask::kNone};
  const RankGraph rank(8, 2, 0);
  EXPECT_THAT([&] { run_reference(rank.loss(true), data_of(test, rank.rows())); },
              ::testing::ThrowsMessage<Error>(
                  "head: a vocabulary shared by 2 ranks runs on one: give it a communicator"));
}

// Rows of tokens split: the same op, each rank with its own rows, losses and gradients terms.
TEST(VocabularyParallelGraph, TokensSplitNeedNoOtherOp) {
  const LinearCrossEntropyOp op;
  const std::vector<ValueType> inputs = {kX, table_type(8), kIds, kScalar};
  const std::vector<AxisPlacement> now(4);
  const auto ways = op.strategies({.axis = "data", .inputs = inputs, .now = now});
  EXPECT_EQ(ways[0].inputs, (std::vector{rows(), whole(), rows(), whole()}));
  EXPECT_EQ(ways[0].outputs, std::vector{term()});
  const Mesh mesh({{"data", 2}});
  std::vector<Placement> placements;
  for (const AxisPlacement& on : ways[0].inputs) placements.push_back({{on}});
  EXPECT_EQ(op.local({.mesh = mesh,
                      .rank = 1,
                      .inputs = inputs,
                      .whole = inputs,
                      .placements = placements,
                      .context = {},
                      .label = ""}),
            nullptr);
}

}  // namespace
}  // namespace ashlar::graph
