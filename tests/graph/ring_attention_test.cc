// Ring attention (SP3) and zigzag (SP4): ranks that share sequences get what one process gets.
#include "ashlar/graph/ops/ring_attention.h"

#include "ashlar/base/error.h"
#include "ashlar/comm/thread_ranks.h"
#include "ashlar/graph/ops/attention_meeting.h"
#include "tests/graph/context_case.h"
#include "tests/graph/graph_run.h"

#include <gtest/gtest.h>

#include <functional>

namespace ashlar::graph {
namespace {

// The op of one rank, as the shard pass asks for it.
OpPtr local_op(const Op& op, const ContextCase& c, int rank, size_t inputs) {
  const Mesh mesh = Mesh::standard({.context = c.ranks});
  const Placement replicated = Placement::replicated(mesh);
  std::vector<Placement> placements(inputs, replicated.with(mesh, "context", rows()));
  placements[3] = replicated;
  return op.local({.mesh = mesh,
                   .rank = rank,
                   .inputs = {},
                   .whole = {},
                   .placements = placements,
                   .context = c.cut,
                   .label = "h.0.attn"});
}

struct RankOps {
  RankOps(const ContextCase& c, int rank) {
    const ContextRing ring{
        {comm::group_along(Mesh::standard({.context = c.ranks}), rank, {"context"}), "h.0.attn"},
        c.cut};
    if (c.ranks == 1) {  // what is not split stays as it is; a ring of one works all the same
      forward = std::make_shared<RingAttentionOp>(c.spec(), ring);
      gradient = std::make_shared<RingAttentionGradOp>(c.spec(), ring);
    } else {
      forward = local_op(AttentionOp(c.spec()), c, rank, 4);
      gradient = local_op(AttentionGradOp(c.spec()), c, rank, 7);
    }
  }
  OpPtr forward, gradient;
};

// run(op, inputs, comm) -> outputs
using RunOp =
    std::function<std::vector<Tensor>(const Op&, std::vector<Tensor>, comm::Communicator&)>;

struct Sent {
  int64_t forward = 0, backward = 0;  // bytes
};

// All ranks' results, rows in the order of the microbatch.
AttentionResults ring_results(const ContextCase& c, DType dtype, const RunOp& run,
                              std::vector<Sent>* sent = nullptr) {
  const AttentionTensors all = context_inputs(c, dtype == DType::kF64 ? DType::kF32 : dtype);
  AttentionResults results;
  const DType lse_dtype = dtype == DType::kF64 ? DType::kF64 : DType::kF32;
  results.emplace_back(dtype, all.d_out.shape());
  results.emplace_back(lse_dtype, Shape{c.rows(), c.heads});
  for (const Tensor* x : {&all.q, &all.k, &all.v}) results.emplace_back(dtype, x->shape());
  if (sent != nullptr) sent->resize(static_cast<size_t>(c.ranks));
  comm::run_ranks(c.ranks, [&](comm::Communicator& comm) {
    const auto runs = context_runs(c.cut, c.ranks, comm.rank(), c.rows());
    AttentionTensors in = rows_of(all, runs);
    for (Tensor* x : {&in.q, &in.k, &in.v, &in.d_out}) *x = x->to(dtype);
    const Tensor row_start = ints(c.row_start());
    const RankOps ops(c, comm.rank());
    const auto bytes = [&] { return comm.counters().of("context", comm::CommOp::kSend).bytes; };
    const auto outputs = run(*ops.forward, {in.q, in.k, in.v, row_start}, comm);
    const int64_t forward_bytes = bytes();
    const auto gradients =
        run(*ops.gradient, {in.q, in.k, in.v, row_start, outputs[0], outputs[1], in.d_out}, comm);
    if (sent != nullptr) {
      (*sent)[static_cast<size_t>(comm.rank())] = {forward_bytes, bytes() - forward_bytes};
    }
    for (size_t i = 0; i < 2; ++i) place_runs(outputs[i], runs, results[i]);
    for (size_t i = 0; i < 3; ++i) place_runs(gradients[i], runs, results[2 + i]);
  });
  return results;
}

std::vector<Tensor> in_double(const Op& op, std::vector<Tensor> inputs, comm::Communicator& comm) {
  return run_op_f64(op, std::move(inputs), {kContextState, &comm});
}

RunOp by_kernels(const kernels::KernelTable& table, int threads) {
  return [&table, threads](const Op& op, std::vector<Tensor> inputs, comm::Communicator& comm) {
    kernels::TestTeam team(threads);
    return run_op(op, std::move(inputs), table, team, {kContextState, &comm});
  };
}

TEST(RingAttention, IsOneProcessInDouble) {
  for (const ContextCase& c : context_cases()) {
    SCOPED_TRACE(testing::Message() << c);
    expect_results(ring_results(c, DType::kF64, &in_double), dense_results(c, DType::kF64), 1e-10);
  }
}

class RingAttentionTiers : public kernels::TierTest {};
ASHLAR_TEST_EACH_TIER(RingAttentionTiers);

TEST_P(RingAttentionTiers, IsOneProcess) {
  for (const ContextCase& c : context_cases()) {
    SCOPED_TRACE(testing::Message() << c);
    const RunOp run = by_kernels(table(), 1);
    expect_results(ring_results(c, DType::kF32, run), dense_results(c, DType::kF32), 1e-5);
    // Every result is rounded once, as that of one process is.
    expect_results(ring_results(c, DType::kBF16, run), dense_results(c, DType::kBF16), 0x1p-6);
  }
}

TEST_P(RingAttentionTiers, BitsDoNotDependOnThreads) {
  const auto bits = [&](const ContextCase& c, DType dtype, int threads) {
    std::vector<std::vector<double>> values;
    for (const Tensor& x : ring_results(c, dtype, by_kernels(table(), threads))) {
      values.push_back(doubles(x));
    }
    return values;
  };
  for (const ContextCase& c : context_cases()) {
    if (c.ranks == 1) continue;
    EXPECT_EQ(bits(c, DType::kF32, 3), bits(c, DType::kF32, 1)) << c;
  }
}

// (p - 1) blocks of k and v forward; in backward the same and (p - 1) blocks of their gradients.
TEST(RingAttention, BytesAreThoseOfItsHops) {
  for (const ContextCase& c : context_cases()) {
    if (c.rows() % c.cut.seq != 0 || c.cut.seq % (2 * c.ranks) != 0) continue;
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      std::vector<Sent> sent;
      ring_results(c, dtype, by_kernels(kernels::kernel_table(best_isa_tier()), 1), &sent);
      const int64_t b = c.rows() / c.cut.seq, s = c.cut.seq, p = c.ranks;
      const int64_t elements = 2 * b * (s / p) * c.kv_heads * c.head_dim;
      for (const Sent& bytes : sent) {
        EXPECT_EQ(bytes.forward, (p - 1) * elements * size_of(dtype)) << c;
        EXPECT_EQ(bytes.backward, (p - 1) * elements * (size_of(dtype) + 4)) << c;
      }
    }
  }
}

int64_t block_pairs(const ContextCut& cut, int ranks, int rank,
                    const std::vector<int32_t>& row_start, const kernels::AttentionMask& mask) {
  int64_t pairs = 0;
  for (int owner = 0; owner < ranks; ++owner) {
    pairs += meet(cut, ranks, rank, owner, row_start, mask).block_pairs;
  }
  return pairs;
}

TEST(RingAttention, ZigzagEvensCausalWork) {
  const std::vector<int32_t> row_start = {0, 64, 128};
  const kernels::AttentionMask causal{.causal = true};
  for (const int ranks : {2, 4, 8}) {
    for (int rank = 0; rank < ranks; ++rank) {
      // Of 2p pieces, rank i has the i-th and the i-th from the end, which see i + 1 and 2p - i.
      EXPECT_EQ(block_pairs({64, true}, ranks, rank, row_start, causal), 2 * (2 * ranks + 1));
      EXPECT_EQ(block_pairs({64, false}, ranks, rank, row_start, causal), 2 * (rank + 1));
    }
  }
}

double flops(const Op& op, const std::vector<Tensor>& inputs) {
  std::vector<Operand> in;
  for (Tensor x : inputs) in.push_back({x.data(), x.dtype(), x.shape()});
  return op.cost(in, {}).flops;
}

TEST(RingAttention, CostsOfAllRanksAreThoseOfOneProcess) {
  for (const ContextCase& c : context_cases()) {
    const AttentionTensors all = context_inputs(c, DType::kF32);
    const Tensor row_start = ints(c.row_start());
    double sum = 0, most = 0, grad = 0;
    for (int rank = 0; rank < c.ranks; ++rank) {
      const AttentionTensors in = rows_of(all, context_runs(c.cut, c.ranks, rank, c.rows()));
      const RankOps ops(c, rank);
      const double mine = flops(*ops.forward, {in.q, in.k, in.v, row_start});
      grad += flops(*ops.gradient, {in.q, in.k, in.v, row_start, in.q, in.q, in.d_out});
      sum += mine;
      most = std::max(most, mine);
    }
    const double whole = flops(AttentionOp(c.spec()), {all.q, all.k, all.v, row_start});
    EXPECT_EQ(sum, whole) << c;
    EXPECT_EQ(grad, 2 * whole) << c;
    if (std::string_view(c.name) == "causal" && c.cut.zigzag) {
      EXPECT_LT(most, 1.001 * whole / c.ranks) << c;
    }
  }
}

TEST(RingAttention, MemoryIsConstantWhenSequenceAndRanksDouble) {
  const auto scratch = [](int ranks, int64_t seq, DType dtype) {
    const ContextCase c{"causal", ranks, {seq, true}, {static_cast<int32_t>(seq)}};
    const RankOps ops(c, ranks - 1);
    const AttentionTensors in =
        rows_of(context_inputs(c, dtype), context_runs(c.cut, ranks, ranks - 1, seq));
    const Tensor row_start = ints(c.row_start());
    const Tensor lse(DType::kF32, Shape{in.q.shape()[0], c.heads});
    const kernels::KernelTable& table = kernels::kernel_table(best_isa_tier());
    return std::pair(
        scratch_of(*ops.forward, {in.q, in.k, in.v, row_start}, table, 2),
        scratch_of(*ops.gradient, {in.q, in.k, in.v, row_start, in.q, lse, in.d_out}, table, 2));
  };
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    EXPECT_EQ(scratch(4, 1024, dtype), scratch(2, 512, dtype));
    EXPECT_EQ(scratch(8, 2048, dtype), scratch(2, 512, dtype));
    EXPECT_GT(scratch(2, 1024, dtype), scratch(2, 512, dtype));
  }
}

TEST(RingAttention, RefusesWhatDoesNotFit) {
  const auto message = [](auto f) -> std::string {
    try {
      f();
    } catch (const Error& error) {
      return error.what();
    }
    return "nothing was refused";
  };
  EXPECT_EQ(message([] {
              context_runs({5, true}, 3, 0, 5);
            }),
            "context: 5 tokens cannot be cut in 6 pieces for 3 ranks: use fewer ranks or a longer "
            "train.seq");
  EXPECT_EQ(message([] {
              context_runs({8, false}, 2, 0, 12);
            }),
            "context: a microbatch of 12 tokens is not whole rows of 8 (train.seq)");
  // Rows that are not the rank's.
  const ContextCase c{"causal", 2, {48, true}, {48}};
  const AttentionTensors all = context_inputs(c, DType::kF64);
  const std::string found = message([&] {
    comm::run_ranks(2, [&](comm::Communicator& comm) {
      in_double(*RankOps(c, comm.rank()).forward, {all.q, all.k, all.v, ints(c.row_start())}, comm);
    });
  });
  EXPECT_NE(found.find("ring_attention h.0.attn: rank "), std::string::npos) << found;
  EXPECT_NE(found.find("has 48 rows, wanted 24 of a microbatch of 48 (rows of 48)"),
            std::string::npos)
      << found;
}

TEST(RingAttention, ItsGradientGoesRoundToo) {
  const ContextCase& c = context_cases()[3];
  const OpPtr op = std::make_shared<RingAttentionOp>(
      c.spec(), ContextRing{{comm::whole_group(2, 0), "h.0.attn"}, c.cut});
  const Graph graph = with_backward([&](Builder& b) {
    const auto matrix = [&](const char* name, int64_t heads) {
      return b.input(name, DType::kF32, {Symbol::kTokens, heads * c.head_dim});
    };
    const ValueId starts = b.input("row_start", DType::kI32, {Dim(Symbol::kSeqs, 1, 1)});
    return b.apply1(
        op, {matrix("q", c.heads), matrix("k", c.kv_heads), matrix("v", c.kv_heads), starts},
        "attend");
  });
  ASSERT_EQ(graph.nodes().size(), 2u);
  EXPECT_EQ(graph.nodes()[0].op->attributes(), "heads=6 kv_heads=3 dim=16 causal world of 2");
  EXPECT_EQ(graph.nodes()[1].op->kind(), "ring_attention_grad");
  EXPECT_TRUE(graph.outputs().contains("d_k"));
}

TEST(RingAttention, StrategiesFollowTheAxis) {
  const AttentionOp op(context_cases()[0].spec());
  const auto ways = [&](bool ring, bool whole_sequences) {
    return op.strategies(
        {.axis = "x", .inputs = {}, .now = {}, .whole_sequences = whole_sequences, .ring = ring});
  };
  const auto r = rows(), c = columns(), w = whole();
  ASSERT_EQ(ways(true, false).size(), 1u);
  EXPECT_EQ(ways(true, false)[0].inputs, (std::vector{r, r, r, w}));
  EXPECT_EQ(ways(true, false)[0].outputs, (std::vector{r, r}));
  ASSERT_EQ(ways(false, false).size(), 1u);
  EXPECT_EQ(ways(false, false)[0].inputs, (std::vector{c, c, c, w}));
  ASSERT_EQ(ways(false, true).size(), 2u);
  EXPECT_EQ(ways(false, true)[1].inputs, (std::vector{r, r, r, r}));
  const AttentionGradOp grad(context_cases()[0].spec());
  const auto ring = grad.strategies(
      {.axis = "x", .inputs = {}, .now = {}, .whole_sequences = false, .ring = true});
  ASSERT_EQ(ring.size(), 1u);
  EXPECT_EQ(ring[0].inputs, (std::vector{r, r, r, w, r, r, r}));
  EXPECT_EQ(ring[0].outputs, (std::vector{r, r, r}));
}

}  // namespace
}  // namespace ashlar::graph
