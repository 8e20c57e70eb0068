#include "ashlar/graph/ops/moe_exchange.h"

#include "ashlar/graph/ops/shape_rules.h"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace ashlar::graph {
namespace {

int ranks_of(const std::optional<GroupLabel>& on) { return on ? on->group.size() : 1; }
int index_of(const std::optional<GroupLabel>& on) { return on ? on->group.index : 0; }

std::optional<GroupLabel> expert_ranks(const LocalSite& site) {
  if (site.mesh.size("expert") == 1) return std::nullopt;
  return GroupLabel{site.group("expert"), site.label};
}

void check_experts(std::string_view op, const Dim& experts, int ranks) {
  ASHLAR_CHECK(experts.fixed() && experts.offset % ranks == 0,
               "{}: {} ranks do not divide {} experts", op, ranks, experts.str());
}

comm::Communicator& others(std::string_view op, comm::Communicator* comm) {
  ASHLAR_CHECK(comm != nullptr, "{}: a graph for several ranks runs on one: give it a communicator",
               op);
  return *comm;
}

// Who has how many rows for whom, as one rank sees it.
class Rows {
 public:
  Rows(const Operand& counts, int index)
      : counts_(counts.as<int32_t>()),
        ranks_(counts.shape[0]),
        experts_(counts.shape[1]),
        own_(experts_ / ranks_),
        index_(index) {}

  // Of this rank's tokens, for the experts of each rank; and of this rank's experts, from each.
  std::vector<int64_t> of_tokens(int64_t width) const {
    return each_rank(width, [&](int64_t rank, int64_t i) { return at(index_, rank * own_ + i); });
  }
  std::vector<int64_t> of_experts(int64_t width) const {
    return each_rank(width, [&](int64_t rank, int64_t i) { return at(rank, index_ * own_ + i); });
  }

  // f(row where they lie by expert, row where they lie by rank, how many) of this rank's experts.
  template <typename F>
  void each_block(const F& f) const {
    std::vector<int64_t> by_rank = of_experts(1);
    std::exclusive_scan(by_rank.begin(), by_rank.end(), by_rank.begin(), int64_t{0});
    int64_t by_expert = 0;
    for (int64_t i = 0; i < own_; ++i) {
      for (int64_t rank = 0; rank < ranks_; ++rank) {
        const int64_t count = at(rank, index_ * own_ + i);
        int64_t& from = by_rank[static_cast<size_t>(rank)];
        f(by_expert, from, count);
        by_expert += count;
        from += count;
      }
    }
  }

 private:
  int64_t at(int64_t rank, int64_t expert) const { return counts_[rank * experts_ + expert]; }

  template <typename Count>
  std::vector<int64_t> each_rank(int64_t width, const Count& count) const {
    std::vector<int64_t> elements(static_cast<size_t>(ranks_), 0);
    for (int64_t rank = 0; rank < ranks_; ++rank) {
      for (int64_t i = 0; i < own_; ++i) {
        elements[static_cast<size_t>(rank)] += count(rank, i) * width;
      }
    }
    return elements;
  }

  const int32_t* counts_;
  int64_t ranks_, experts_, own_;
  int index_;
};

int64_t sum(const std::vector<int64_t>& counts) {
  return std::accumulate(counts.begin(), counts.end(), int64_t{0});
}

}  // namespace

// ---------------------------------------------------------------- counts
std::string MoeCountsOp::attributes() const {
  return on_ ? fmt::format("{} of {}", on_->group.name, on_->group.size()) : "";
}

std::vector<ValueType> MoeCountsOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, 1);
  check_rank(kind(), "offsets", in[0], 1);
  check_dtype(kind(), "offsets", in[0], DType::kI32);
  const Dim experts(in[0].shape[0].offset - 1);
  const int64_t ranks = ranks_of(on_);
  check_experts(kind(), experts, static_cast<int>(ranks));
  return {{DType::kI32, {ranks, experts}}, {DType::kI32, {experts.offset / ranks + 1}}};
}

void MoeCountsOp::count(std::span<const Operand> in, std::span<const Operand> out,
                        comm::Communicator* comm) const {
  const int64_t experts = out[0].shape[1], own = out[1].shape[0] - 1;
  const int32_t* offsets = in[0].as<int32_t>();
  auto* all = out[0].as<int32_t>();
  int32_t* mine = all + index_of(on_) * experts;
  for (int64_t e = 0; e < experts; ++e) mine[e] = offsets[e + 1] - offsets[e];
  if (on_) {
    const std::vector<int64_t> each(on_->group.ranks.size(), experts);
    others(kind(), comm)
        .all_gather(on_->group, comm::ConstBuffer(comm::buffer(std::span(mine, mine + experts))),
                    each, comm::buffer(std::span(all, all + out[0].shape.elements())), on_->label);
  }
  auto* own_offsets = out[1].as<int32_t>();
  own_offsets[0] = 0;
  for (int64_t i = 0; i < own; ++i) {
    own_offsets[i + 1] = own_offsets[i];
    for (int64_t rank = 0; rank < out[0].shape[0]; ++rank) {
      own_offsets[i + 1] += all[rank * experts + index_of(on_) * own + i];
    }
  }
}

void MoeCountsOp::run(const KernelCall& call) const { count(call.inputs, call.outputs, call.comm); }

void MoeCountsOp::reference(const ReferenceCall& call) const {
  count(call.inputs, call.outputs, call.comm);
}

std::vector<AxisStrategy> MoeCountsOp::strategies(const AxisSite& site) const {
  if (site.axis == "tensor") return {};
  if (site.axis == "expert") return {{{term()}, {whole(), rows()}}};
  return {{{term()}, {term(), term()}}};
}

std::shared_ptr<const Op> MoeCountsOp::local(const LocalSite& site) const {
  return std::make_shared<MoeCountsOp>(expert_ranks(site));
}

// ---------------------------------------------------------------- rows
std::string MoeExchangeOp::attributes() const {
  const char* to = to_ == To::kExperts ? "to experts" : "to tokens";
  return on_ ? fmt::format("{} of {} {}", on_->group.name, on_->group.size(), to) : to;
}

// A token goes to different experts, so a rank gets each at most as often as it has experts.
Dim MoeExchangeOp::rows_of_experts(const Dim& rows, int64_t experts) const {
  const int64_t ranks = ranks_of(on_), most = ranks * std::min(top_k_, experts / ranks);
  return {rows.symbol, rows.factor / top_k_ * most, rows.offset / top_k_ * most};
}

std::vector<ValueType> MoeExchangeOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, 3);
  check_rank(kind(), "rows", in[0], 2);
  check_rank(kind(), "counts", in[1], 2);
  const Dim experts = in[1].shape[1], of_tokens = in[2].shape[0];
  check_experts(kind(), experts, ranks_of(on_));
  check_type(kind(), "counts", in[1], {DType::kI32, {ranks_of(on_), experts}});
  check_rank(kind(), "sources", in[2], 1);
  check_dtype(kind(), "sources", in[2], DType::kI32);
  ASHLAR_CHECK(of_tokens.factor % top_k_ == 0 && of_tokens.offset % top_k_ == 0,
               "moe_exchange: {} rows, wanted {} a token", of_tokens.str(), top_k_);
  const Dim of_experts = rows_of_experts(of_tokens, experts.offset);
  const bool there = to_ == To::kExperts;
  const Dim width = in[0].shape[1];
  check_shape(kind(), "rows", in[0], {there ? of_tokens : of_experts, width});
  return {{in[0].dtype, {there ? of_experts : of_tokens, width}}};
}

// The rows of this rank's experts, rank by rank.
int64_t MoeExchangeOp::scratch_bytes(std::span<const Operand> in, std::span<const Operand> out,
                                     const kernels::KernelTable&, int) const {
  const Operand& of_experts = to_ == To::kExperts ? out[0] : in[0];
  return of_experts.shape.elements() * size_of(of_experts.dtype);
}

void MoeExchangeOp::exchange(std::span<const Operand> in, const Operand& y,
                             comm::Communicator* comm, std::byte* memory) const {
  const Operand& x = in[0];
  const int64_t width = x.shape[1], bytes = width * size_of(x.dtype);
  const Rows rows(in[1], index_of(on_));
  const auto of_tokens = rows.of_tokens(width), of_experts = rows.of_experts(width);
  const auto buffer = [&](std::byte* data, const std::vector<int64_t>& counts) {
    return comm::Buffer{x.dtype, data, sum(counts)};
  };
  const auto copy = [bytes](const std::byte* from, std::byte* to, int64_t count) {
    std::memcpy(to, from, static_cast<size_t>(count * bytes));
  };
  const bool there = to_ == To::kExperts;
  const int64_t used = sum(there ? of_experts : of_tokens) / width;
  if (!on_) {
    copy(x.data, y.data, used);
  } else if (there) {
    others(kind(), comm)
        .all_to_all(on_->group, buffer(x.data, of_tokens), of_tokens, buffer(memory, of_experts),
                    of_experts, on_->label);
    rows.each_block([&](int64_t by_expert, int64_t by_rank, int64_t count) {
      copy(memory + by_rank * bytes, y.data + by_expert * bytes, count);
    });
  } else {
    rows.each_block([&](int64_t by_expert, int64_t by_rank, int64_t count) {
      copy(x.data + by_expert * bytes, memory + by_rank * bytes, count);
    });
    others(kind(), comm)
        .all_to_all(on_->group, buffer(memory, of_experts), of_experts, buffer(y.data, of_tokens),
                    of_tokens, on_->label);
  }
  std::memset(y.data + used * bytes, 0, static_cast<size_t>((y.shape[0] - used) * bytes));
}

void MoeExchangeOp::run(const KernelCall& call) const {
  exchange(call.inputs, call.outputs[0], call.comm, call.team.scratch);
}

void MoeExchangeOp::reference(const ReferenceCall& call) const {
  const Operand& of_experts = to_ == To::kExperts ? call.outputs[0] : call.inputs[0];
  std::vector<std::byte> memory(
      static_cast<size_t>(of_experts.shape.elements() * size_of(of_experts.dtype)));
  exchange(call.inputs, call.outputs[0], call.comm, memory.data());
}

// Expert ranks know all of each other's counts; others have tokens, and so counts, of their own.
// What is a sum over ranks stays one.
std::vector<AxisStrategy> MoeExchangeOp::strategies(const AxisSite& site) const {
  if (site.axis == "tensor") return {{{term(), whole(), whole()}, {term()}}};
  return {{{rows(), site.axis == "expert" ? whole() : term(), rows()}, {rows()}}};
}

std::shared_ptr<const Op> MoeExchangeOp::local(const LocalSite& site) const {
  return std::make_shared<MoeExchangeOp>(to_, top_k_, expert_ranks(site));
}

}  // namespace ashlar::graph
