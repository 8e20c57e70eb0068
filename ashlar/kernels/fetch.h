// Asks for lines of the cache before they are needed.
#pragma once

#include "ashlar/tensor/dtype.h"

#include <cstddef>
#include <cstdint>

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

// Elements [first, first + count) of an array, for reading or, with kWrites = 1, for writing.
template <int kWrites>
static inline void fetch_elements(const void* array, DType dtype, int64_t first, int64_t count) {
  const int64_t size = size_of(dtype);
  const std::byte* at = static_cast<const std::byte*>(array) + first * size;
  for (int64_t byte = 0; byte < count * size; byte += 64) {
    __builtin_prefetch(at + byte, kWrites, 3);
  }
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
