#include "ashlar/graph/ops/moe_assign.h"

#include "ashlar/base/philox.h"
#include "ashlar/graph/ops/shape_rules.h"
#include "ashlar/kernels/moe_assign.h"
#include "ashlar/kernels/ref/moe.h"

#include <algorithm>
#include <numeric>
#include <type_traits>
#include <utility>

namespace ashlar::graph {
namespace {

kernels::MoeAssignSpec bound_spec(const AssignSpec& spec, const std::string& path,
                                  const Operand& chosen, const RunState& state) {
  kernels::MoeAssignSpec bound;
  bound.tokens = chosen.shape[0];
  bound.experts = spec.experts;
  bound.top_k = chosen.shape[1];
  bound.random_second = spec.random_second;
  bound.key = stream_key(state.seed, path);
  bound.step = state.step;
  bound.first_token = state.first_token;
  return bound;
}

// The runs of a context rank, of which one has `tokens`; `all` are those of the whole rows.
std::vector<kernels::TokenRun> runs_of(const TokenRanks& ranks, int context, int64_t all) {
  if (ranks.context_ranks == 1) return {{0, 0, all}};
  std::vector<kernels::TokenRun> runs;
  for (const RowRun& run : context_runs(ranks.cut, ranks.context_ranks, context, all)) {
    runs.push_back({run.first, run.local, run.count});
  }
  return runs;
}

// Tokens of the sequences that a rank shares with its context ranks.
int64_t whole_tokens(const TokenRanks& ranks, int64_t tokens) {
  if (ranks.context_ranks == 1) return tokens;
  const int context = ranks.places[static_cast<size_t>(ranks.group.index)].context;
  return tokens / context_rows(ranks.cut, ranks.context_ranks, context, ranks.cut.seq) *
         ranks.cut.seq;
}

// What stands before each of this rank's runs: all earlier choices, and this choice in the earlier
// runs of the microbatch of all ranks. counts: of all ranks' runs, rank by rank, [k,E] each.
std::vector<int32_t> stand_before(const TokenRanks& ranks, const std::vector<int32_t>& counts,
                                  int64_t all, int64_t top_k, int64_t experts) {
  struct Run {
    int sequences;
    int64_t first;
    const int32_t* counts;
    int32_t* before;  // null: of another rank
  };
  const int64_t each = top_k * experts;
  const auto mine = static_cast<size_t>(ranks.group.index);
  std::vector<Run> order;
  std::vector<int32_t> before(runs_of(ranks, ranks.places[mine].context, all).size() *
                              static_cast<size_t>(each));
  const int32_t* next = counts.data();
  for (size_t rank = 0; rank < ranks.places.size(); ++rank) {
    const auto [sequences, context] = ranks.places[rank];
    int32_t* own = rank == mine ? before.data() : nullptr;
    for (const kernels::TokenRun& run : runs_of(ranks, context, all)) {
      order.push_back({sequences, run.first, next, own});
      next += each;
      if (own != nullptr) own += each;
    }
  }
  std::ranges::sort(order, {}, [](const Run& run) { return std::pair(run.sequences, run.first); });
  std::vector<int32_t> so_far(static_cast<size_t>(experts), 0);
  for (int64_t c = 0; c < top_k; ++c) {
    for (const Run& run : order) {
      if (run.before != nullptr) std::ranges::copy(so_far, run.before + c * experts);
      for (int64_t e = 0; e < experts; ++e) {
        so_far[static_cast<size_t>(e)] += run.counts[c * experts + e];
      }
    }
  }
  return before;
}

// Counts of the runs of all ranks.
std::vector<int32_t> gather_counts(const TokenRanks& ranks, std::span<const int32_t> mine,
                                   int64_t all, int64_t each, comm::Communicator& comm) {
  std::vector<int64_t> sizes;
  for (const TokenRanks::Place& place : ranks.places) {
    sizes.push_back(static_cast<int64_t>(runs_of(ranks, place.context, all).size()) * each);
  }
  std::vector<int32_t> counts(
      static_cast<size_t>(std::accumulate(sizes.begin(), sizes.end(), int64_t{0})));
  comm.all_gather(ranks.group, {DType::kI32, mine.data(), static_cast<int64_t>(mine.size())}, sizes,
                  comm::buffer(std::span(counts)), ranks.label);
  return counts;
}

kernels::MoeAssignment maps_of(std::span<const Operand> out) {
  return {out[0].as<int32_t>(), out[1].as<int32_t>(), out[2].as<int32_t>()};
}

int64_t sequence_ranks(const TokenRanks& ranks) {
  return static_cast<int64_t>(ranks.places.size()) / ranks.context_ranks;
}

}  // namespace

std::string MoeAssignOp::attributes() const {
  std::string text = fmt::format("experts={}", spec_.experts);
  if (spec_.capacity > 0) text += fmt::format(" capacity={}", spec_.capacity);
  if (spec_.random_second) text += " random_second";
  return text;
}

std::vector<ValueType> MoeAssignOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, 2);
  check_rank(kind(), "experts", in[0], 2);
  check_dtype(kind(), "experts", in[0], DType::kI32);
  check_type(kind(), "weights", in[1], {DType::kF32, in[0].shape});
  ASHLAR_CHECK(spec_.experts > 0, "moe_assign: {} experts, wanted at least 1", spec_.experts);
  const Dim tokens = in[0].shape[0], top_k = in[0].shape[1];
  const Dim pairs(tokens.symbol, tokens.factor * top_k.offset, tokens.offset * top_k.offset);
  return {in[0], {DType::kI32, {pairs}}, {DType::kI32, {spec_.experts + 1}}};
}

template <typename Number>
void MoeAssignOp::assign(std::span<const Operand> in, std::span<const Operand> out,
                         const RunState& state, comm::Communicator* comm) const {
  constexpr bool kReference = std::is_same_v<Number, double>;
  const Operand& chosen = in[0];
  const auto* weights = in[1].as<Number>();
  kernels::MoeAssignSpec spec = bound_spec(spec_, path_, chosen, state);
  const int64_t all = ranks_ ? whole_tokens(*ranks_, spec.tokens) : spec.tokens;
  std::vector<kernels::TokenRun> runs;
  std::vector<int32_t> before;
  if (ranks_) {
    runs = runs_of(*ranks_, ranks_->places[static_cast<size_t>(ranks_->group.index)].context, all);
    spec.runs = runs;
  }
  if (spec_.capacity > 0) {
    const int64_t tokens = ranks_ ? all * sequence_ranks(*ranks_) : all;
    spec.capacity = kernels::moe_capacity(tokens, spec.experts, spec.top_k, spec_.capacity);
  }
  if (ranks_ && spec.capacity > 0) {
    ASHLAR_CHECK(comm != nullptr,
                 "moe_assign: a graph for several ranks runs on one: give it a communicator");
    const int64_t each = spec.top_k * spec.experts;
    std::vector<int32_t> counts(runs.size() * static_cast<size_t>(each));
    if constexpr (kReference) {
      kernels::ref::moe_count(spec, chosen.as<int32_t>(), weights, counts.data());
    } else {
      kernels::moe_count(spec, chosen.as<int32_t>(), weights, counts.data());
    }
    before = stand_before(*ranks_, gather_counts(*ranks_, counts, all, each, *comm), all,
                          spec.top_k, spec.experts);
    spec.before = before.data();
  }
  if constexpr (kReference) {
    kernels::ref::moe_assign(spec, chosen.as<int32_t>(), weights, maps_of(out));
  } else {
    kernels::moe_assign(spec, chosen.as<int32_t>(), weights, maps_of(out));
  }
}

void MoeAssignOp::run(const KernelCall& call) const {
  assign<float>(call.inputs, call.outputs, call.state, call.comm);
}

void MoeAssignOp::reference(const ReferenceCall& call) const {
  assign<double>(call.inputs, call.outputs, call.state, call.comm);
}

// Each rank sorts the pairs of its own tokens; what an expert gets there is a term of what it gets.
// Tensor ranks sort all tokens they share, since each has a part of every expert.
std::vector<AxisStrategy> MoeAssignOp::strategies(const AxisSite& site) const {
  if (site.axis == "tensor") return {};
  return {{{rows(), rows()}, {rows(), rows(), term()}}};
}

// A capacity needs what stands before on other ranks, a random choice the token's place.
std::shared_ptr<const Op> MoeAssignOp::local(const LocalSite& site) const {
  if (spec_.capacity == 0 && !spec_.random_second) return nullptr;
  std::vector<std::string> axes;
  for (const char* axis : {"data", "context", "expert"}) {
    if (site.cut(0, 0, axis).parts > 1) axes.push_back(axis);
  }
  if (axes.empty()) return nullptr;
  TokenRanks ranks{.group = comm::group_along(site.mesh, site.rank, axes),
                   .label = site.label,
                   .places = {},
                   .context_ranks = site.cut(0, 0, "context").parts,
                   .cut = site.context};
  for (const int rank : ranks.group.ranks) {
    const auto at = [&](const char* axis) { return site.mesh.coordinate(rank, axis); };
    ranks.places.push_back({at("data") * site.mesh.size("expert") + at("expert"), at("context")});
  }
  return std::make_shared<MoeAssignOp>(spec_, path_, std::move(ranks));
}

Assignment moe_assign(Builder& b, ValueId experts, ValueId weights, const AssignSpec& spec,
                      const std::string& name) {
  const auto outputs =
      b.apply(std::make_shared<MoeAssignOp>(spec, b.path(name)), {experts, weights}, name);
  return {outputs[0], outputs[1], outputs[2]};
}

}  // namespace ashlar::graph
