// Rows of tokens go to the ranks of their experts and back (EP3): which rows come where, and that
// just those that leave a rank are sent.
#include "ashlar/graph/ops/moe_exchange.h"

#include "ashlar/base/error.h"
#include "ashlar/comm/thread_ranks.h"
#include "ashlar/kernels/moe_assign.h"
#include "tests/graph/counter_values.h"
#include "tests/graph/op_run.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

namespace ashlar::graph {
namespace {

using To = MoeExchangeOp::To;

// The tokens of one rank: which experts they chose, and where their rows then lie.
struct Tokens {
  static constexpr int64_t kExperts = 8, kTopK = 2, kWidth = 3;
  std::vector<int32_t> chosen, slots, sources, offsets;

  // Few rows for the last experts, none for some; with a capacity, some rows have no pair.
  Tokens(int64_t tokens, int rank, int64_t capacity)
      : slots(static_cast<size_t>(tokens * kTopK)),
        sources(slots),
        offsets(static_cast<size_t>(kExperts + 1)) {
    const auto draws = counter_ids(fmt::format("rank {}", rank), tokens, kExperts - 2);
    for (const int32_t first : draws) {
      chosen.push_back(first);
      chosen.push_back(first / 2 == 0 ? 7 : first / 2);
      if (chosen.back() == first) chosen.back() = 6;
    }
    kernels::moe_assign(
        {.tokens = tokens, .experts = kExperts, .top_k = kTopK, .capacity = capacity},
        chosen.data(), nullptr, {slots.data(), sources.data(), offsets.data()});
  }

  int64_t count(int64_t expert) const {
    const auto e = static_cast<size_t>(expert);
    return offsets[e + 1] - offsets[e];
  }
  // Row i of rank r says so; rows without a pair are zeros.
  std::vector<float> row_values(int rank) const {
    std::vector<float> values(sources.size() * kWidth, 0);
    for (int32_t row = 0; row < offsets.back(); ++row) {
      for (int64_t c = 0; c < kWidth; ++c) {
        values[static_cast<size_t>(row * kWidth + c)] =
            static_cast<float>(1 + 1000 * rank + 4 * row + c);
      }
    }
    return values;
  }
};

// What the experts of a rank get: expert by expert, of each the rows of rank 0, 1 ...
Tensor wanted_rows(const std::vector<Tokens>& of, int ranks, int rank, Shape shape, DType dtype) {
  const int64_t own = Tokens::kExperts / ranks;
  std::vector<float> wanted;
  for (int64_t e = rank * own; e < (rank + 1) * own; ++e) {
    for (int from = 0; from < ranks; ++from) {
      const Tokens& tokens = of[static_cast<size_t>(from)];
      const std::vector<float> values = tokens.row_values(from);
      const auto* begin = values.data() + tokens.offsets[static_cast<size_t>(e)] * Tokens::kWidth;
      wanted.insert(wanted.end(), begin, begin + tokens.count(e) * Tokens::kWidth);
    }
  }
  wanted.resize(static_cast<size_t>(shape.elements()), 0);
  return floats(dtype, shape, wanted);
}

// factor > 0: of the capacity to which messages are padded; tokens: of each of the ranks.
struct Case {
  int ranks;
  int64_t tokens;
  double factor = 0;
  DType dtype = DType::kF32;
};

void exchange_on(const Case& c) {
  const auto& [ranks, tokens, factor, dtype] = c;
  const int64_t capacity =
      kernels::moe_capacity(ranks * tokens, Tokens::kExperts, Tokens::kTopK, factor);
  const Mesh mesh = Mesh::standard({.expert = ranks});
  const int64_t own = Tokens::kExperts / ranks;
  std::vector<Tokens> of;
  for (int rank = 0; rank < ranks; ++rank) of.emplace_back(tokens, rank, capacity);
  std::vector<int64_t> sent(static_cast<size_t>(ranks));
  comm::run_ranks(ranks, [&](comm::Communicator& comm) {
    kernels::TestTeam team(1);
    const kernels::KernelTable& table = kernels::kernel_table(best_isa_tier());
    const int rank = comm.rank();
    const Tokens& mine = of[static_cast<size_t>(rank)];
    const OpRun with{.comm = &comm};
    const GroupLabel on{comm::group_along(mesh, rank, {"expert"}), "h.0.mlp"};
    const auto counted = run_op(MoeCountsOp(on), {ints(mine.offsets)}, table, team, with);

    const int64_t R = tokens * Tokens::kTopK;
    const Tensor rows = floats(dtype, Shape{R, Tokens::kWidth}, mine.row_values(rank)),
                 sources = ints(mine.sources);
    const auto bytes = [&] {
      return comm.counters().of("expert", comm::CommOp::kAllToAll).bytes / Tokens::kWidth /
             size_of(dtype);
    };
    const auto op = [&](To to) {
      const Placement cut =
          Placement::replicated(mesh).with(mesh, "expert", AxisPlacement::split(0));
      const std::vector<Placement> placements(3, cut);
      return MoeExchangeOp({to, Tokens::kTopK, factor})
          .local({.mesh = mesh,
                  .rank = rank,
                  .inputs = {},
                  .whole = {},
                  .placements = placements,
                  .context = {},
                  .label = "h.0.mlp"});
    };
    const OpPtr there = op(To::kExperts), back = op(To::kTokens);
    const Tensor found = run_op(*there, {rows, counted[0], sources}, table, team, with)[0];
    const Shape room{ranks * std::min(Tokens::kTopK, own) * tokens, Tokens::kWidth};
    ASSERT_EQ(found.shape(), room);
    EXPECT_EQ(doubles(found), doubles(wanted_rows(of, ranks, rank, room, dtype)));
    const int64_t leave = bytes();
    const Tensor returned = run_op(*back, {found, counted[0], sources}, table, team, with)[0];
    EXPECT_EQ(doubles(returned), doubles(rows));

    // Rows whose expert is elsewhere leave, once; those of others come, and go back, once.
    int64_t leaving = 0, coming = 0, used = 0;
    for (int64_t e = 0; e < Tokens::kExperts; ++e) {
      const bool here = e / own == rank;
      if (!here) leaving += mine.count(e);
      for (int from = 0; here && from < ranks; ++from) {
        const int64_t count = of[static_cast<size_t>(from)].count(e);
        used += count;
        if (from != rank) coming += count;
      }
      if (!here) continue;
      EXPECT_EQ(counted[1].span<int32_t>()[static_cast<size_t>(e % own + 1)], used);
    }
    if (factor > 0) leaving = coming = (ranks - 1) * own * capacity;
    EXPECT_EQ(leave, leaving);
    EXPECT_EQ(bytes(), leaving + coming);
    sent[static_cast<size_t>(rank)] = bytes() - 2 * leaving;

    const Tensor wide = rows.to(DType::kF64);
    const Tensor found64 = run_op_f64(*there, {wide, counted[0], sources}, with)[0];
    EXPECT_EQ(doubles(found64), doubles(found));
    EXPECT_EQ(doubles(run_op_f64(*back, {found64, counted[0], sources}, with)[0]), doubles(rows));
  });
  // Over all ranks: 2 k times the tokens that leave.
  EXPECT_EQ(std::accumulate(sent.begin(), sent.end(), int64_t{0}), 0);
}

TEST(MoeExchange, RowsGoToTheirExpertsAndBack) {
  for (const int ranks : {1, 2, 4, 8}) {
    for (const int64_t tokens : {1, 7, 33}) {
      SCOPED_TRACE(fmt::format("{} ranks, {} tokens", ranks, tokens));
      exchange_on({ranks, tokens});
    }
  }
  exchange_on({2, 33, 0, DType::kBF16});
}

// EP1: 2 (p-1)/p E C rows there and back, C = ceil(k T / E cf) over the tokens of all ranks.
TEST(MoeExchange, PaddedMessagesHaveTheSizeOfTheCapacity) {
  for (const int ranks : {2, 4, 8}) {
    for (const double factor : {0.1, 1.0, 1.25}) {
      SCOPED_TRACE(fmt::format("{} ranks, factor {}", ranks, factor));
      exchange_on({ranks, 33, factor});
    }
  }
  exchange_on({2, 33, 1, DType::kBF16});
}

// All tokens to the experts of one rank: as many rows as can come.
TEST(MoeExchange, HasRoomForAllTokensOnOneRank) {
  constexpr int kRanks = 2;
  constexpr int64_t kTokens = 5;
  const Mesh mesh = Mesh::standard({.expert = kRanks});
  comm::run_ranks(kRanks, [&](comm::Communicator& comm) {
    kernels::TestTeam team(1);
    const kernels::KernelTable& table = kernels::kernel_table(best_isa_tier());
    const GroupLabel on{comm::group_along(mesh, comm.rank(), {"expert"}), "h.0.mlp"};
    const OpRun with{.comm = &comm};
    const auto counted = run_op(MoeCountsOp(on), {ints({0, 5, 10, 10, 10})}, table, team, with);
    const Tensor rows = floats(DType::kF32, Shape{2 * kTokens, 1}, counter_values("x", 10));
    const Tensor found =
        run_op(MoeExchangeOp({To::kExperts, 2}, on),
               {rows, counted[0], ints(std::vector<int32_t>(10, 0))}, table, team, with)[0];
    ASSERT_EQ(found.shape(), (Shape{4 * kTokens, 1}));
    const std::vector<double> values = doubles(found);
    EXPECT_EQ(std::ranges::count(values, 0.0), comm.rank() == 0 ? 0 : 4 * kTokens);
  });
}

TEST(MoeExchange, RefusesExpertsThatDoNotDivide) {
  const GroupLabel on{comm::whole_group(3, 0), "h.0.mlp"};
  const std::vector<ValueType> offsets = {{DType::kI32, {9}}};
  EXPECT_THROW(MoeCountsOp(on).infer(offsets), Error);
}

}  // namespace
}  // namespace ashlar::graph
