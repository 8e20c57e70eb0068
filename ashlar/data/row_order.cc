#include "ashlar/data/row_order.h"

#include "ashlar/base/error.h"
#include "ashlar/base/philox.h"
#include "ashlar/data/permutation.h"

#include <algorithm>
#include <numeric>

namespace ashlar::data {
namespace {

constexpr int64_t kLongestCycle = 65536;

// Whole turns of a cycle in the proportion of the weights, by largest remainder.
std::vector<int64_t> turns_of(std::span<const double> weights) {
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::vector<int64_t> turns;
  std::vector<std::pair<double, size_t>> remainders;
  int64_t given = 0;
  for (size_t s = 0; s < weights.size(); ++s) {
    const double share = weights[s] / total * static_cast<double>(kLongestCycle);
    turns.push_back(static_cast<int64_t>(share));
    given += turns.back();
    remainders.emplace_back(static_cast<double>(turns.back()) - share, s);
  }
  std::ranges::sort(remainders);  // the largest remainder first, then the earlier source
  for (size_t i = 0; given < kLongestCycle; ++i, ++given) ++turns[remainders[i].second];
  int64_t divisor = 0;
  for (size_t s = 0; s < turns.size(); ++s) {
    if (turns[s] == 0) {
      fail_usage("data: source {} has {:.2g} of all weight; at least 1/{} is needed", s + 1,
                 weights[s] / total, kLongestCycle);
    }
    divisor = std::gcd(divisor, turns[s]);
  }
  for (int64_t& count : turns) count /= divisor;
  return turns;
}

}  // namespace

RowOrder::RowOrder(Kind kind, std::span<const int64_t> rows, uint64_t seed)
    : kind_(kind), seed_(seed), base_{0} {
  for (const int64_t count : rows) base_.push_back(base_.back() + count);
}

RowOrder RowOrder::shuffled(std::span<const int64_t> rows, std::span<const double> weights,
                            uint64_t seed) {
  ASHLAR_DCHECK(weights.empty() || weights.size() == rows.size());
  RowOrder order(weights.empty() ? Kind::kShuffled : Kind::kBlended, rows, seed);
  if (!weights.empty()) order.make_cycle(weights);
  return order;
}

RowOrder RowOrder::in_order(std::span<const int64_t> rows) {
  return RowOrder(Kind::kInOrder, rows, 0);
}

// Each turn goes to the source that is furthest behind its share: smooth weighted round robin.
void RowOrder::make_cycle(std::span<const double> weights) {
  turns_ = turns_of(weights);
  const int64_t length = std::accumulate(turns_.begin(), turns_.end(), int64_t{0});
  std::vector<int64_t> credit(turns_.size(), 0), taken(turns_.size(), 0);
  for (int64_t turn = 0; turn < length; ++turn) {
    for (size_t s = 0; s < credit.size(); ++s) credit[s] += turns_[s];
    const auto next = static_cast<size_t>(std::ranges::max_element(credit) - credit.begin());
    credit[next] -= length;
    cycle_.push_back(static_cast<uint16_t>(next));
    earlier_.push_back(static_cast<uint16_t>(taken[next]++));
  }
}

RowRef RowOrder::locate(int64_t row, int64_t epoch) const {
  const int64_t source = std::ranges::upper_bound(base_, row) - base_.begin() - 1;
  return {source, row - base_[static_cast<size_t>(source)], epoch};
}

RowRef RowOrder::at(int64_t index) const {
  if (kind_ == Kind::kInOrder) return index < rows() ? locate(index, 0) : RowRef{};
  if (kind_ == Kind::kShuffled) {
    const int64_t epoch = index / rows();
    const Permutation shuffle(stream_key(seed_, "data.order"), static_cast<uint64_t>(epoch),
                              rows());
    return locate(shuffle(index % rows()), epoch);
  }
  const auto length = static_cast<int64_t>(cycle_.size());
  const auto turn = static_cast<size_t>(index % length);
  const size_t source = cycle_[turn];
  const int64_t drawn = index / length * turns_[source] + earlier_[turn];
  const int64_t source_rows = base_[source + 1] - base_[source];
  const int64_t epoch = drawn / source_rows;
  const uint64_t key = stream_key(seed_, "data.order") + source + 1;
  const Permutation shuffle(key, static_cast<uint64_t>(epoch), source_rows);
  return {static_cast<int64_t>(source), shuffle(drawn % source_rows), epoch};
}

}  // namespace ashlar::data
