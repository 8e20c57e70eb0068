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

// Who has how many rows for whom, as one rank sees it; in messages with room for `padded` rows for
// each expert, or, where that is 0, for just those.
class Rows {
 public:
  Rows(const Operand& counts, int index, int64_t padded)
      : counts_(counts.as<int32_t>()),
        ranks_(counts.shape[0]),
        experts_(counts.shape[1]),
        own_(experts_ / ranks_),
        padded_(padded),
        index_(index) {}

  // In the messages between this rank's tokens and the experts of each rank, and between this
  // rank's experts and the tokens of each.
  std::vector<int64_t> of_tokens(int64_t width) const {
    return each_rank(width, [&](int64_t rank, int64_t i) { return at(index_, rank * own_ + i); });
  }
  std::vector<int64_t> of_experts(int64_t width) const {
    return each_rank(width, [&](int64_t rank, int64_t i) { return at(rank, index_ * own_ + i); });
  }

  // f(first row by expert, first row in the messages, how many) of this rank's tokens' rows;
  // returns how many there are.
  template <typename F>
  int64_t each_of_tokens(const F& f) const {
    int64_t row = 0;
    for (int64_t e = 0; e < experts_; ++e) {
      f(row, padded_ > 0 ? e * padded_ : row, at(index_, e));
      row += at(index_, e);
    }
    return row;
  }
  // The same of this rank's experts' rows.
  template <typename F>
  int64_t each_of_experts(const F& f) const {
    std::vector<int64_t> in_message = of_experts(1);
    std::exclusive_scan(in_message.begin(), in_message.end(), in_message.begin(), int64_t{0});
    int64_t row = 0;
    for (int64_t i = 0; i < own_; ++i) {
      for (int64_t rank = 0; rank < ranks_; ++rank) {
        const int64_t count = at(rank, index_ * own_ + i);
        int64_t& from = in_message[static_cast<size_t>(rank)];
        f(row, from, count);
        row += count;
        from += padded_ > 0 ? padded_ : count;
      }
    }
    return row;
  }

 private:
  int64_t at(int64_t rank, int64_t expert) const { return counts_[rank * experts_ + expert]; }

  template <typename Count>
  std::vector<int64_t> each_rank(int64_t width, const Count& count) const {
    std::vector<int64_t> elements(static_cast<size_t>(ranks_), 0);
    for (int64_t rank = 0; rank < ranks_; ++rank) {
      for (int64_t i = 0; i < own_; ++i) {
        elements[static_cast<size_t>(rank)] += (padded_ > 0 ? padded_ : count(rank, i)) * width;
      }
    }
    return elements;
  }

  const int32_t* counts_;
  int64_t ranks_, experts_, own_, padded_;
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

void MoeCountsOp::traffic(const TrafficCall& call) const {
  if (!on_) return;
  const Operand& counts = call.outputs[0];
  const std::vector<int64_t> each(on_->group.ranks.size(), counts.shape[1]);
  call.comm.all_gather(on_->group, {DType::kI32, nullptr, counts.shape[1]}, each,
                       {DType::kI32, nullptr, counts.shape.elements()}, on_->label);
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
  std::string text = on_ ? fmt::format("{} of {} ", on_->group.name, on_->group.size()) : "";
  text += to_experts() ? "to experts" : "to tokens";
  return spec_.padded > 0 ? text + fmt::format(" padded={}", spec_.padded) : text;
}

// A token goes to different experts, so a rank gets each at most as often as it has experts.
Dim MoeExchangeOp::rows_of_experts(const Dim& rows, int64_t experts) const {
  const int64_t ranks = ranks_of(on_), most = ranks * std::min(spec_.top_k, experts / ranks);
  return {rows.symbol, rows.factor / spec_.top_k * most, rows.offset / spec_.top_k * most};
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
  ASHLAR_CHECK(of_tokens.factor % spec_.top_k == 0 && of_tokens.offset % spec_.top_k == 0,
               "moe_exchange: {} rows, wanted {} a token", of_tokens.str(), spec_.top_k);
  const Dim of_experts = rows_of_experts(of_tokens, experts.offset);
  const bool there = to_experts();
  const Dim width = in[0].shape[1];
  check_shape(kind(), "rows", in[0], {there ? of_tokens : of_experts, width});
  return {{in[0].dtype, {there ? of_experts : of_tokens, width}}};
}

// As many as an expert may take; all of them could be one rank's.
int64_t MoeExchangeOp::padded_rows(const Operand& counts, const Operand& sources) const {
  if (spec_.padded == 0) return 0;
  const int64_t tokens = sources.shape[0] / spec_.top_k;
  return kernels::moe_capacity(tokens_ ? tokens_->all(tokens) : tokens, counts.shape[1],
                               spec_.top_k, spec_.padded);
}

// Messages of experts' rows; where padded, those of tokens' rows before them.
int64_t MoeExchangeOp::memory_bytes(std::span<const Operand> in, const Operand& y) const {
  const Operand& of_experts = to_experts() ? y : in[0];
  const int64_t row_bytes = y.shape[1] * size_of(y.dtype);
  if (spec_.padded == 0) return of_experts.shape[0] * row_bytes;
  return 2 * in[1].shape[1] * padded_rows(in[1], in[2]) * row_bytes;
}

int64_t MoeExchangeOp::scratch_bytes(std::span<const Operand> in, std::span<const Operand> out,
                                     const kernels::KernelTable&, int) const {
  return memory_bytes(in, out[0]);
}

void MoeExchangeOp::exchange(std::span<const Operand> in, const Operand& y,
                             comm::Communicator* comm, std::byte* memory) const {
  const Operand& x = in[0];
  const int64_t width = x.shape[1], bytes = width * size_of(x.dtype);
  const int64_t padded = padded_rows(in[1], in[2]);
  const Rows rows(in[1], index_of(on_), padded);
  const auto of_tokens = rows.of_tokens(width), of_experts = rows.of_experts(width);
  const auto pack = [&](std::byte* messages) {
    return [&x, bytes, messages](int64_t row, int64_t at, int64_t count) {
      std::memcpy(messages + at * bytes, x.data + row * bytes, static_cast<size_t>(count * bytes));
    };
  };
  const auto unpack = [&](const std::byte* messages) {
    return [&y, bytes, messages](int64_t row, int64_t at, int64_t count) {
      std::memcpy(y.data + row * bytes, messages + at * bytes, static_cast<size_t>(count * bytes));
    };
  };
  const auto send = [&](std::byte* from, const std::vector<int64_t>& sent, std::byte* to,
                        const std::vector<int64_t>& received) {
    const comm::Buffer out{x.dtype, from, sum(sent)}, into{x.dtype, to, sum(received)};
    if (!on_) {
      std::memcpy(to, from, out.bytes());
    } else {
      others(kind(), comm).all_to_all(on_->group, out, sent, into, received, on_->label);
    }
  };
  std::byte* experts = memory;  // messages of their rows
  std::byte* tokens = memory + in[1].shape[1] * padded * bytes;
  if (padded > 0) std::memset(memory, 0, static_cast<size_t>(memory_bytes(in, y)));
  int64_t used = 0;
  if (to_experts()) {
    // Unpadded, rows of tokens are messages already: they lie by expert, so by rank.
    if (padded > 0) rows.each_of_tokens(pack(tokens));
    send(padded > 0 ? tokens : x.data, of_tokens, experts, of_experts);
    used = rows.each_of_experts(unpack(experts));
  } else {
    rows.each_of_experts(pack(experts));
    send(experts, of_experts, padded > 0 ? tokens : y.data, of_tokens);
    used = padded > 0 ? rows.each_of_tokens(unpack(tokens)) : sum(of_tokens) / width;
  }
  std::memset(y.data + used * bytes, 0, static_cast<size_t>((y.shape[0] - used) * bytes));
}

void MoeExchangeOp::traffic(const TrafficCall& call) const {
  if (!on_) return;
  const Operand &x = call.inputs[0], &counts = call.inputs[1], &sources = call.inputs[2];
  const int64_t padded = padded_rows(counts, sources);
  const int64_t rows = padded > 0 ? counts.shape[1] * padded : sources.shape[0];
  std::vector<int64_t> each = comm::even_counts(on_->group, rows);
  for (int64_t& count : each) count *= x.shape[1];
  const int64_t all = rows * x.shape[1];
  call.comm.all_to_all(on_->group, {x.dtype, nullptr, all}, each, {x.dtype, nullptr, all}, each,
                       on_->label);
}

void MoeExchangeOp::run(const KernelCall& call) const {
  exchange(call.inputs, call.outputs[0], call.comm, call.team.scratch);
}

void MoeExchangeOp::reference(const ReferenceCall& call) const {
  std::vector<std::byte> memory(static_cast<size_t>(memory_bytes(call.inputs, call.outputs[0])));
  exchange(call.inputs, call.outputs[0], call.comm, memory.data());
}

// Expert ranks know all of each other's counts; others have tokens, and so counts, of their own.
// What is a sum over ranks stays one.
std::vector<AxisStrategy> MoeExchangeOp::strategies(const AxisSite& site) const {
  if (site.axis == "tensor") return {{{term(), whole(), whole()}, {term()}}};
  return {{{rows(), site.axis == "expert" ? whole() : term(), rows()}, {rows()}}};
}

std::shared_ptr<const Op> MoeExchangeOp::local(const LocalSite& site) const {
  return std::make_shared<MoeExchangeOp>(spec_, expert_ranks(site), TokenRanks::of(site, 2));
}

}  // namespace ashlar::graph
