// A tensor on the host: storage, dtype, shape; always contiguous, row-major. Copying a Tensor
// shares its storage. Tensors carry data between layers (weights, batches, checkpoints); what a
// Program computes lives in its planned arena instead.
#pragma once

#include "ashlar/tensor/dtype.h"
#include "ashlar/tensor/shape.h"

#include <cstddef>
#include <memory>
#include <span>

namespace ashlar {

// 64-byte aligned, zeroed memory.
std::shared_ptr<std::byte[]> allocate_zeroed(size_t bytes);

class Tensor {
 public:
  Tensor() = default;
  // Zeroed memory of its own.
  Tensor(DType dtype, Shape shape);
  // A view of memory that `owner` keeps alive (a mapped file, another tensor).
  Tensor(DType dtype, Shape shape, std::byte* data, std::shared_ptr<const void> owner);

  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int64_t elements() const { return shape_.elements(); }
  size_t bytes() const { return static_cast<size_t>(bytes_of(dtype_, elements())); }
  bool empty() const { return data_ == nullptr; }

  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  template <typename T>
  T* as() {
    return reinterpret_cast<T*>(data_);
  }
  template <typename T>
  const T* as() const {
    return reinterpret_cast<const T*>(data_);
  }
  template <typename T>
  std::span<T> span() {
    return {as<T>(), static_cast<size_t>(elements())};
  }
  template <typename T>
  std::span<const T> span() const {
    return {as<T>(), static_cast<size_t>(elements())};
  }

  // Rows [begin, end) of dim 0, sharing storage.
  Tensor rows(int64_t begin, int64_t end) const;
  Tensor reshaped(Shape shape) const;  // the same elements under another shape
  Tensor to(DType dtype) const;        // converted copy (rounding to nearest even)
  Tensor transposed() const;           // a matrix's transposed copy

 private:
  DType dtype_ = DType::kF32;
  Shape shape_;
  std::byte* data_ = nullptr;
  std::shared_ptr<const void> owner_;
};

// Converts n elements between float dtypes (f64, f32, bf16, f16) and block types.
void convert(DType from, const void* source, DType to, void* target, int64_t n);

}  // namespace ashlar
