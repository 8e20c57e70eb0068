#include "ashlar/tensor/tensor.h"

#include "ashlar/base/error.h"
#include "ashlar/tensor/quantize.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <type_traits>
#include <utility>

namespace ashlar {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

// To float so that a further rounding to fewer bits gives what one rounding would: an inexact
// result keeps an odd last bit (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums",
// 2008).
float round_to_odd(double x) {
  const float nearest = static_cast<float>(x);
  const uint32_t bits = std::bit_cast<uint32_t>(nearest);
  const double back = static_cast<double>(nearest);
  if (back == x || std::isnan(x) || (bits & 1u) != 0) return nearest;
  return std::bit_cast<float>(std::abs(back) > std::abs(x) ? bits - 1 : bits + 1);
}

template <typename T>
auto load(const void* p, int64_t i) {
  const T x = static_cast<const T*>(p)[i];
  if constexpr (std::is_floating_point_v<T>) {
    return x;
  } else {
    return to_float(x);
  }
}

template <typename T, typename From>
void store(void* p, int64_t i, From x) {
  T& out = static_cast<T*>(p)[i];
  if constexpr (std::is_floating_point_v<T>) {
    out = static_cast<T>(x);
  } else {
    float narrow;
    if constexpr (std::is_same_v<From, double>) {
      narrow = round_to_odd(x);
    } else {
      narrow = x;
    }
    if constexpr (std::is_same_v<T, bf16>) {
      out = to_bf16(narrow);
    } else {
      out = to_f16(narrow);
    }
  }
}

template <typename F>
void with_float_type(DType dtype, F&& f) {
  switch (dtype) {
    case DType::kF64:
      return f(double{});
    case DType::kF32:
      return f(float{});
    case DType::kBF16:
      return f(bf16{});
    case DType::kF16:
      return f(f16{});
    default:
      fail("convert: dtype {} is not a float type", name(dtype));
  }
}

// By way of f32, some at a time.
void convert_blocks(DType from, const void* source, DType to, void* target, int64_t n) {
  constexpr int64_t kStep = 4096;  // a multiple of every block
  float weights[kStep];
  for (int64_t at = 0; at < n; at += kStep) {
    const int64_t count = std::min(kStep, n - at);
    const std::byte* in = static_cast<const std::byte*>(source) + bytes_of(from, at);
    std::byte* out = static_cast<std::byte*>(target) + bytes_of(to, at);
    if (is_block(from)) {
      dequantize(from, in, weights, count);
    } else {
      convert(from, in, DType::kF32, weights, count);
    }
    if (is_block(to)) {
      quantize(to, weights, out, count);
    } else {
      convert(DType::kF32, weights, to, out, count);
    }
  }
}

// Pages of the system's, zero until they are touched. Products of large matrices are a tenth faster
// where the system grants huge pages; no harm where it does not. What is behind the last whole one
// stays in small pages.
std::shared_ptr<std::byte[]> map_zeroed(size_t bytes) {
  const size_t mapped = bytes + kHugePage;
  void* memory = ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) fail("out of memory: {} bytes wanted for a tensor", bytes);
  void* aligned = memory;
  size_t space = mapped;
  std::align(kHugePage, bytes, aligned, space);
  ::madvise(aligned, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
  return {static_cast<std::byte*>(aligned),
          [memory, mapped](std::byte*) { ::munmap(memory, mapped); }};
}

}  // namespace

std::shared_ptr<std::byte[]> allocate_zeroed(size_t bytes) {
  const size_t rounded = (bytes + 63) / 64 * 64 + 64;
  if (rounded >= 2 * kHugePage) return map_zeroed(rounded);
  void* memory = std::aligned_alloc(64, rounded);
  if (memory == nullptr) fail("out of memory: {} bytes wanted for a tensor", bytes);
  std::memset(memory, 0, rounded);
  return {static_cast<std::byte*>(memory), [](std::byte* p) { std::free(p); }};
}

Tensor::Tensor(DType dtype, Shape shape) : dtype_(dtype), shape_(shape) {
  auto storage = allocate_zeroed(bytes());
  data_ = storage.get();
  owner_ = std::move(storage);
}

Tensor::Tensor(DType dtype, Shape shape, std::byte* data, std::shared_ptr<const void> owner)
    : dtype_(dtype), shape_(shape), data_(data), owner_(std::move(owner)) {}

Tensor Tensor::rows(int64_t begin, int64_t end) const {
  ASHLAR_CHECK(shape_.rank() >= 1 && 0 <= begin && begin <= end && end <= shape_[0],
               "tensor rows: [{}, {}) is not inside {}", begin, end, shape_.str());
  ASHLAR_CHECK(shape_.row_elements() % block_elements(dtype_) == 0,
               "tensor rows: the rows of {} are no whole blocks of {}", shape_.str(), name(dtype_));
  Shape shape = shape_;
  shape[0] = end - begin;
  return {dtype_, shape, data_ + bytes_of(dtype_, begin * shape_.row_elements()), owner_};
}

Tensor Tensor::reshaped(Shape shape) const {
  ASHLAR_CHECK(shape.elements() == elements(),
               "tensor reshape: {} does not hold the elements of {}", shape.str(), shape_.str());
  return {dtype_, shape, data_, owner_};
}

Tensor Tensor::to(DType dtype) const {
  Tensor result(dtype, shape_);
  convert(dtype_, data_, dtype, result.data_, elements());
  return result;
}

Tensor Tensor::transposed() const {
  ASHLAR_CHECK(shape_.rank() == 2, "tensor transpose: {} is not a matrix", shape_.str());
  ASHLAR_CHECK(!is_block(dtype_), "tensor transpose: {} has rows of blocks", name(dtype_));
  const int64_t rows = shape_[0], cols = shape_[1], size = size_of(dtype_);
  Tensor result(dtype_, {cols, rows});
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < cols; ++c) {
      std::memcpy(result.data_ + (c * rows + r) * size, data_ + (r * cols + c) * size,
                  static_cast<size_t>(size));
    }
  }
  return result;
}

void convert(DType from, const void* source, DType to, void* target, int64_t n) {
  if (from == to) {
    std::memcpy(target, source, static_cast<size_t>(bytes_of(from, n)));
    return;
  }
  if (is_block(from) || is_block(to)) return convert_blocks(from, source, to, target, n);
  with_float_type(from, [&](auto in) {
    with_float_type(to, [&](auto out) {
      for (int64_t i = 0; i < n; ++i) {
        store<decltype(out)>(target, i, load<decltype(in)>(source, i));
      }
    });
  });
}

}  // namespace ashlar
