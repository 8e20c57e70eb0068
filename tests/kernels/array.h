// A test's array of f32, bf16 or f16: filled from doubles (rounded as the dtype rounds), read back
// as doubles, compared with a reference.
#pragma once

#include "ashlar/tensor/dtype.h"

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace ashlar::kernels {

// Standard normal times scale, plus shift: the same for the same name.
std::vector<double> random_values(std::string_view name, int64_t count, double scale = 1,
                                  double shift = 0);
// Uniform in [0, bound).
std::vector<int32_t> random_ids(std::string_view name, int64_t count, int64_t bound);

class Array {
 public:
  // All bytes 0xff (NaN in every dtype), so that what a kernel leaves unwritten is seen.
  Array(DType dtype, int64_t count);
  Array(DType dtype, const std::vector<double>& values);

  DType dtype() const { return dtype_; }
  int64_t size() const { return static_cast<int64_t>(bytes_.size()) / size_of(dtype_); }
  void* data() { return bytes_.data(); }
  const void* data() const { return bytes_.data(); }
  float* floats() { return static_cast<float*>(data()); }
  const float* floats() const { return static_cast<const float*>(data()); }
  std::vector<double> values() const;
  // The elements [begin, begin + count) alone.
  Array slice(int64_t begin, int64_t count) const;

  friend bool operator==(const Array&, const Array&) = default;  // equal bits

 private:
  DType dtype_;
  std::vector<std::byte> bytes_;
};

// The values after rounding to the dtype: what a kernel reads.
std::vector<double> rounded(DType dtype, const std::vector<double>& values);

// Expects found to be wanted within the tolerance of found's dtype times `factor`.
void expect_close(const Array& found, const std::vector<double>& wanted, std::string_view what,
                  double factor = 1);

}  // namespace ashlar::kernels
