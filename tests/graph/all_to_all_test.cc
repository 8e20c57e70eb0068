// Ulysses (SP5): rows of context ranks become heads for attention, and rows again; and attention by
// heads of tensor ranks, beside it and alone.
#include "ashlar/graph/ops/all_to_all.h"

#include "ashlar/base/error.h"
#include "ashlar/comm/thread_ranks.h"
#include "ashlar/graph/ops/rope.h"
#include "tests/graph/context_case.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

namespace ashlar::graph {
namespace {

using To = AllToAllOp::To;

GroupLabel context_group(const Mesh& mesh, int rank) {
  return {comm::group_along(mesh, rank, {"context"}), "h.0.attn"};
}

// Columns [i C/p, (i+1) C/p).
Tensor column_block(const Tensor& x, int parts, int index) {
  const int64_t columns = x.shape()[1] / parts, size = size_of(x.dtype());
  Tensor part(x.dtype(), Shape{x.shape()[0], columns});
  for (int64_t row = 0; row < x.shape()[0]; ++row) {
    std::copy_n(x.data() + (row * parts + index) * columns * size, columns * size,
                part.data() + row * columns * size);
  }
  return part;
}

void place_columns(const Tensor& part, int parts, int index, Tensor& whole) {
  const int64_t bytes = part.shape()[1] * size_of(part.dtype());
  for (int64_t row = 0; row < part.shape()[0]; ++row) {
    std::copy_n(part.data() + row * bytes, bytes, whole.data() + (row * parts + index) * bytes);
  }
}

TEST(AllToAll, TurnsRowsIntoColumnsAndBack) {
  for (const int ranks : {1, 2, 3, 4}) {
    for (const ContextCut cut : {ContextCut{48, false}, {48, true}, {50, false}, {50, true}}) {
      for (const DType dtype : {DType::kF32, DType::kBF16}) {
        const Mesh mesh = Mesh::standard({.context = ranks});
        const int64_t T = 2 * cut.seq, C = 12 * 5;
        std::vector<float> values(static_cast<size_t>(T * C));
        for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 251);
        const Tensor x = floats(dtype, Shape{T, C}, values);
        comm::run_ranks(ranks, [&](comm::Communicator& comm) {
          kernels::TestTeam team(1);
          const kernels::KernelTable& table = kernels::kernel_table(best_isa_tier());
          const Tensor mine = gather_runs(x, context_runs(cut, ranks, comm.rank(), T));
          const GroupLabel on = context_group(mesh, comm.rank());
          const AllToAllOp there(on, cut, To::kColumns, T);
          const AllToAllOp back(on, cut, To::kRows, mine.shape()[0]);
          const Tensor found = run_op(there, {mine}, table, team, {.comm = &comm})[0];
          EXPECT_EQ(doubles(found), doubles(column_block(x, ranks, comm.rank())));
          const int64_t sent = comm.counters().of("context", comm::CommOp::kAllToAll).bytes;
          EXPECT_EQ(sent, mine.elements() / ranks * (ranks - 1) * size_of(dtype));
          EXPECT_EQ(doubles(run_op(back, {found}, table, team, {.comm = &comm})[0]), doubles(mine));
          const Tensor wide = mine.to(DType::kF64);
          const Tensor found64 = run_op_f64(there, {wide}, {.comm = &comm})[0];
          EXPECT_EQ(doubles(found64), doubles(found));
          EXPECT_EQ(doubles(run_op_f64(back, {found64}, {.comm = &comm})[0]), doubles(mine));
        });
      }
    }
  }
}

// The op of one rank of a mesh of context and tensor ranks that share the heads.
OpPtr op_of_heads(const Op& op, const Mesh& mesh, int rank, size_t inputs) {
  const Placement replicated = Placement::replicated(mesh);
  std::vector<Placement> placements(
      inputs, replicated.with(mesh, "context", columns()).with(mesh, "tensor", columns()));
  placements[3] = replicated;
  return op.local({.mesh = mesh,
                   .rank = rank,
                   .inputs = {},
                   .whole = {},
                   .placements = placements,
                   .context = {},
                   .label = "h.0.attn"});
}

// Each rank has the rows of its context coordinate and the heads of its tensor coordinate; around
// attention the context ranks exchange. As dense_results, in double.
AttentionResults ulysses_results(const ContextCase& c, int tensor, std::vector<int64_t>& sent) {
  const Mesh mesh = Mesh::standard({.tensor = tensor, .context = c.ranks});
  AttentionTensors all = context_inputs(c, DType::kF32);
  for (Tensor* x : {&all.q, &all.k, &all.v, &all.d_out}) *x = x->to(DType::kF64);
  const Tensor row_start = ints(c.row_start());
  AttentionResults results = {Tensor(DType::kF64, all.d_out.shape()),
                              Tensor(DType::kF64, Shape{c.rows(), c.heads})};
  for (const Tensor* x : {&all.q, &all.k, &all.v}) results.emplace_back(DType::kF64, x->shape());
  std::vector<AttentionResults> of_rank(static_cast<size_t>(mesh.size()));
  sent.resize(of_rank.size());
  comm::run_ranks(mesh.size(), [&](comm::Communicator& comm) {
    const int rank = comm.rank();
    const OpRun run{kContextState, &comm};
    const auto runs = context_runs(c.cut, c.ranks, mesh.coordinate(rank, "context"), c.rows());
    const GroupLabel on = context_group(mesh, rank);
    const auto there = [&](const Tensor& x) {
      const Tensor mine =
          column_block(gather_runs(x, runs), tensor, mesh.coordinate(rank, "tensor"));
      return run_op_f64(AllToAllOp(on, c.cut, To::kColumns, c.rows()), {mine}, run)[0];
    };
    const auto back = [&](const Tensor& x) {
      const int64_t rows = context_rows(c.cut, c.ranks, on.group.index, c.rows());
      return run_op_f64(AllToAllOp(on, c.cut, To::kRows, rows), {x}, run)[0];
    };
    const Tensor q = there(all.q), k = there(all.k), v = there(all.v);
    const auto made =
        run_op_f64(*op_of_heads(AttentionOp(c.spec()), mesh, rank, 4), {q, k, v, row_start}, run);
    AttentionResults& mine = of_rank[static_cast<size_t>(rank)];
    mine = {back(made[0]), back(made[1])};
    sent[static_cast<size_t>(rank)] = comm.counters().of("context", comm::CommOp::kAllToAll).bytes;
    for (const Tensor& gradient :
         run_op_f64(*op_of_heads(AttentionGradOp(c.spec()), mesh, rank, 7),
                    {q, k, v, row_start, made[0], made[1], there(all.d_out)}, run)) {
      mine.push_back(back(gradient));
    }
  });
  for (size_t i = 0; i < results.size(); ++i) {
    for (int context = 0; context < c.ranks; ++context) {
      Tensor rows = gather_runs(results[i], context_runs(c.cut, c.ranks, context, c.rows()));
      for (int t = 0; t < tensor; ++t) {
        const size_t rank = static_cast<size_t>(context * tensor + t);
        place_columns(of_rank[rank][i], tensor, t, rows);
      }
      place_runs(rows, context_runs(c.cut, c.ranks, context, c.rows()), results[i]);
    }
  }
  return results;
}

TEST(Ulysses, IsOneProcessInDouble) {
  for (const ContextCase& c : context_cases()) {
    for (const int tensor : {1, 2}) {
      if (c.ranks * tensor == 1 || c.kv_heads % (c.ranks * tensor) != 0) continue;
      SCOPED_TRACE(testing::Message() << c << " x " << tensor);
      std::vector<int64_t> sent;
      expect_results(ulysses_results(c, tensor, sent), dense_results(c, DType::kF64), 1e-10);
    }
  }
  // Dropout counts the model's heads, whichever rank has them.
  for (const auto& [ranks, tensor] : {std::pair{1, 4}, {4, 1}, {2, 2}}) {
    const ContextCase c{"dropout", ranks, {64, true}, {50, 14, 64}, {.causal = true}, 8, 4, 9, 0.3};
    SCOPED_TRACE(testing::Message() << c << " x " << tensor);
    std::vector<int64_t> sent;
    expect_results(ulysses_results(c, tensor, sent), dense_results(c, DType::kF64), 1e-10);
  }
}

// Forward, q, k, v there and out (and here its lse, which a model leaves) back: (p-1)/p of each.
TEST(Ulysses, BytesStayWhenSequenceAndRanksDouble) {
  const auto bytes = [](int ranks, int64_t seq) {
    const ContextCase c{
        "causal", ranks, {seq, false}, {static_cast<int32_t>(seq)}, {.causal = true}, 4, 4, 16};
    std::vector<int64_t> sent;
    ulysses_results(c, 1, sent);
    for (const int64_t of_rank : sent) EXPECT_EQ(of_rank, sent[0]);
    const int64_t rows = seq / ranks, h = c.heads * c.head_dim;
    EXPECT_EQ(sent[0], (4 * rows * h + rows * c.heads) * 8 * (ranks - 1) / ranks);
    return sent[0];
  };
  // (p-1)/p grows from 1/2 to 3/4; rows of a rank and what it holds stay.
  EXPECT_EQ(bytes(4, 128) * 2, bytes(2, 64) * 3);
}

TEST(Ulysses, RefusesHeadsThatDoNotDivide) {
  const auto refused = [](int64_t heads, int64_t kv_heads, int ranks) -> std::string {
    const ContextCase c{"causal", ranks, {64, false}, {64}, {.causal = true}, heads, kv_heads};
    const Mesh mesh = Mesh::standard({.context = ranks});
    try {
      op_of_heads(AttentionOp(c.spec()), mesh, 0, 4);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(refused(6, 3, 2),
            "attention h.0.attn: 6 heads over 3 key-value heads cannot be dealt to 2 ranks: use a "
            "number that divides both");
  EXPECT_NE(refused(4, 1, 4), "");
  EXPECT_EQ(refused(8, 4, 4), "");
  const Mesh mesh = Mesh::standard({.context = 3});
  const AllToAllOp op(context_group(mesh, 0), {6, false}, To::kColumns, Symbol::kWhole);
  const std::vector<ValueType> x = {{DType::kF32, {Symbol::kTokens, 8}}};
  EXPECT_THROW(op.infer(x), Error);
}

TEST(RopeRanks, RotateTheirRowsAndTheirHeads) {
  const RopeSpec spec{.heads = 4, .head_dim = 6, .rotary_dim = 4};
  const int64_t T = 10;
  const Tensor x = context_inputs({"rope", 1, {T}, {10}, {}, 4, 4, 6}, DType::kF32).q;
  std::vector<int32_t> counted;
  std::vector<float> angles;
  for (int i = 0; i < T; ++i) counted.push_back((i * 7) % 10);
  for (int i = 0; i < 4 * T; ++i) angles.push_back(0.1f * static_cast<float>(i));
  const Tensor positions = ints(counted);
  const Tensor table = floats(DType::kF64, Shape{T, 4}, angles);
  const RopeOp op(spec, false);
  const auto run = [&](const Op& one, const Tensor& part, const Tensor& at) {
    return run_op_f64(one, {part.to(DType::kF64), at, table})[0];
  };
  const Tensor whole_result = run(op, x, positions);
  const Mesh mesh = Mesh::standard({.tensor = 2});
  const Placement replicated = Placement::replicated(mesh);
  for (int rank = 0; rank < 2; ++rank) {
    const auto local = [&](AxisPlacement of_x, AxisPlacement of_positions) {
      const std::vector<Placement> placements = {replicated.with(mesh, "tensor", of_x),
                                                 replicated.with(mesh, "tensor", of_positions),
                                                 replicated};
      return op.local({.mesh = mesh,
                       .rank = rank,
                       .inputs = {},
                       .whole = {},
                       .placements = placements,
                       .context = {},
                       .label = "h.0.q"});
    };
    EXPECT_EQ(local(rows(), rows()), nullptr);  // the same op on other rows
    EXPECT_EQ(doubles(run(op, x.rows(rank * 5, rank * 5 + 5),
                          ints({counted.begin() + rank * 5, counted.begin() + rank * 5 + 5}))),
              doubles(whole_result.rows(rank * 5, rank * 5 + 5)));
    EXPECT_EQ(doubles(run(*local(columns(), whole()), column_block(x, 2, rank), positions)),
              doubles(column_block(whole_result, 2, rank)));
  }
}

}  // namespace
}  // namespace ashlar::graph
