#include "tests/kernels/array.h"

#include "ashlar/base/philox.h"
#include "tests/kernels/tolerance.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace ashlar::kernels {
namespace {

void write(DType dtype, std::byte* to, double value) {
  const float f = static_cast<float>(value);
  const auto put = [&](auto x) { std::memcpy(to, &x, sizeof x); };
  if (dtype == DType::kF32) put(f);
  if (dtype == DType::kBF16) put(to_bf16(f));
  if (dtype == DType::kF16) put(to_f16(f));
}

double read(DType dtype, const std::byte* from) {
  const auto get = [&](auto x) {
    std::memcpy(&x, from, sizeof x);
    return x;
  };
  if (dtype == DType::kBF16) return to_float(get(bf16{}));
  if (dtype == DType::kF16) return to_float(get(f16{}));
  return get(0.0f);
}

}  // namespace

std::vector<double> random_values(std::string_view name, int64_t count, double scale,
                                  double shift) {
  const RandomStream stream(1, name);
  std::vector<double> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) values[i] = stream.normal(i) * scale + shift;
  return values;
}

std::vector<int32_t> random_ids(std::string_view name, int64_t count, int64_t bound) {
  const RandomStream stream(1, name);
  std::vector<int32_t> ids(static_cast<size_t>(count));
  for (size_t i = 0; i < ids.size(); ++i) {
    ids[i] = static_cast<int32_t>(stream.below(i, static_cast<uint64_t>(bound)));
  }
  return ids;
}

Array::Array(DType dtype, int64_t count)
    : dtype_(dtype), bytes_(static_cast<size_t>(count * size_of(dtype)), std::byte{0xff}) {}

Array::Array(DType dtype, const std::vector<double>& values)
    : Array(dtype, static_cast<int64_t>(values.size())) {
  const size_t size = static_cast<size_t>(size_of(dtype));
  for (size_t i = 0; i < values.size(); ++i) write(dtype, &bytes_[i * size], values[i]);
}

std::vector<double> Array::values() const {
  const size_t size = static_cast<size_t>(size_of(dtype_));
  std::vector<double> values(bytes_.size() / size);
  for (size_t i = 0; i < values.size(); ++i) values[i] = read(dtype_, &bytes_[i * size]);
  return values;
}

Array Array::slice(int64_t begin, int64_t count) const {
  Array part(dtype_, count);
  if (count == 0) return part;  // memcpy takes no null
  std::memcpy(part.data(), bytes_.data() + begin * size_of(dtype_), part.bytes_.size());
  return part;
}

std::vector<double> rounded(DType dtype, const std::vector<double>& values) {
  return Array(dtype, values).values();
}

void expect_close(const Array& found, const std::vector<double>& wanted, std::string_view what,
                  double factor) {
  const std::vector<double> values = found.values();
  ASSERT_EQ(values.size(), wanted.size()) << what;
  double squares = 0;
  for (const double w : wanted) squares += w * w;
  const double rms = std::sqrt(squares / static_cast<double>(std::max<size_t>(1, wanted.size())));
  const double allowed = tolerance(found.dtype()) * factor;
  for (size_t i = 0; i < wanted.size(); ++i) {
    const double bound = allowed * std::max(std::abs(wanted[i]), rms);
    // The first one that is off is enough. A NaN fails.
    ASSERT_TRUE(std::abs(values[i] - wanted[i]) <= bound)
        << what << ": element " << i << " of " << wanted.size() << " is " << values[i]
        << ", wanted " << wanted[i] << " within " << bound;
  }
}

}  // namespace ashlar::kernels
