#include "ashlar/bundle/row_groups.h"

#include <cstring>
#include <numeric>
#include <utility>

namespace ashlar::bundle {
namespace {

// copy(grouped row, plain row, rows) for each parameter's share of each group.
template <typename Copy>
void for_each_share(std::span<const int64_t> rows, int64_t groups, Copy copy) {
  const int64_t all = std::accumulate(rows.begin(), rows.end(), int64_t{0});
  for (int64_t group = 0; group < groups; ++group) {
    int64_t grouped = group * (all / groups), plain = 0;
    for (const int64_t of_parameter : rows) {
      const int64_t share = of_parameter / groups;
      copy(grouped, plain + group * share, share);
      grouped += share;
      plain += of_parameter;
    }
  }
}

template <typename Order>
Tensor reordered(const Tensor& tensor, std::span<const int64_t> rows, int64_t groups, Order order) {
  if (groups == 1) return tensor;
  Tensor result(tensor.dtype(), tensor.shape());
  const size_t row_bytes = tensor.bytes() / static_cast<size_t>(tensor.shape()[0]);
  for_each_share(rows, groups, [&](int64_t grouped, int64_t plain, int64_t count) {
    const auto [from, to] = order(grouped, plain);
    std::memcpy(result.data() + static_cast<size_t>(to) * row_bytes,
                tensor.data() + static_cast<size_t>(from) * row_bytes,
                static_cast<size_t>(count) * row_bytes);
  });
  return result;
}

}  // namespace

Tensor gather_groups(const Tensor& tensor, std::span<const int64_t> rows, int64_t groups) {
  return reordered(tensor, rows, groups,
                   [](int64_t grouped, int64_t plain) { return std::pair(grouped, plain); });
}

Tensor deal_groups(const Tensor& tensor, std::span<const int64_t> rows, int64_t groups) {
  return reordered(tensor, rows, groups,
                   [](int64_t grouped, int64_t plain) { return std::pair(plain, grouped); });
}

}  // namespace ashlar::bundle
