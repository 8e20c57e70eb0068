// What a collective reads or writes: contiguous elements of one dtype, owned by the caller and left
// alone by him until the operation is done.
#pragma once

#include "ashlar/tensor/dtype.h"

#include <cstddef>
#include <cstdint>
#include <span>

namespace ashlar::comm {

struct ConstBuffer {
  DType dtype = DType::kF32;
  const void* data = nullptr;
  int64_t elements = 0;

  size_t bytes() const { return static_cast<size_t>(elements * size_of(dtype)); }
};

struct Buffer {
  DType dtype = DType::kF32;
  void* data = nullptr;
  int64_t elements = 0;

  size_t bytes() const { return static_cast<size_t>(elements * size_of(dtype)); }
  operator ConstBuffer() const { return {dtype, data, elements}; }
};

template <typename T>
struct DTypeOf;
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::kF64;
};
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::kF32;
};
template <>
struct DTypeOf<bf16> {
  static constexpr DType value = DType::kBF16;
};
template <>
struct DTypeOf<f16> {
  static constexpr DType value = DType::kF16;
};
template <>
struct DTypeOf<int64_t> {
  static constexpr DType value = DType::kI64;
};
template <>
struct DTypeOf<int32_t> {
  static constexpr DType value = DType::kI32;
};
template <>
struct DTypeOf<uint8_t> {
  static constexpr DType value = DType::kU8;
};

template <typename T>
Buffer buffer(std::span<T> elements) {
  return {DTypeOf<T>::value, elements.data(), static_cast<int64_t>(elements.size())};
}
template <typename T>
ConstBuffer buffer(std::span<const T> elements) {
  return {DTypeOf<T>::value, elements.data(), static_cast<int64_t>(elements.size())};
}

}  // namespace ashlar::comm
