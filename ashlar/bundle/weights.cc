#include "ashlar/bundle/weights.h"

#include "ashlar/base/error.h"

#include <cstring>

namespace ashlar::bundle {
namespace {

// Row `row` of the result is row from(row within its head) of the same head.
template <typename From>
Tensor rows_reordered(const Tensor& tensor, int64_t heads, From&& from) {
  const int64_t rows = tensor.shape()[0];
  ASHLAR_CHECK(heads > 0 && rows % (2 * heads) == 0,
               "weights: {} rows are no even number for each of {} heads", rows, heads);
  const int64_t head = rows / heads;
  const int64_t bytes = ashlar::bytes_of(tensor.dtype(), tensor.shape().row_elements());
  Tensor result(tensor.dtype(), tensor.shape());
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t source = row / head * head + from(row % head, head);
    std::memcpy(result.data() + row * bytes, tensor.data() + source * bytes,
                static_cast<size_t>(bytes));
  }
  return result;
}

}  // namespace

Tensor halves_from_pairs(const Tensor& tensor, int64_t heads) {
  return rows_reordered(tensor, heads, [](int64_t row, int64_t head) {
    return row % (head / 2) * 2 + row / (head / 2);
  });
}

Tensor pairs_from_halves(const Tensor& tensor, int64_t heads) {
  return rows_reordered(tensor, heads,
                        [](int64_t row, int64_t head) { return row / 2 + row % 2 * (head / 2); });
}

std::string Weights::name_of(const models::WeightRule& rule) const {
  std::vector<std::string> candidates = {rule.tensor};
  for (const auto& [ending, older] : older_) {
    if (!rule.tensor.ends_with(ending)) continue;
    candidates.push_back(rule.tensor.substr(0, rule.tensor.size() - ending.size()));
    candidates.back() += older;
  }
  for (const std::string& name : candidates) {
    if (file_->contains(name)) return name;
    if (!name.starts_with(prefix_)) continue;
    std::string bare = name.substr(prefix_.size());
    if (file_->contains(bare)) return bare;
  }
  return rule.tensor;
}

Tensor Weights::tensor(const models::WeightRule& rule, const std::string& name) const {
  Tensor tensor = file_->tensor(name);
  if (rule.paired_heads > 0) tensor = halves_from_pairs(tensor, rule.paired_heads);
  if (rule.added != 0) {
    tensor = tensor.to(DType::kF32);
    for (float& value : tensor.span<float>()) value -= rule.added;
  }
  return tensor;
}

}  // namespace ashlar::bundle
