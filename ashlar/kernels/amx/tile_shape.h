// Sizes of AMX's tiles, and of what micro-kernels make of them.
#pragma once

#include <cstdint>

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

inline constexpr int64_t kAmxRows = 16;   // of a tile
inline constexpr int64_t kAmxBytes = 64;  // of a row: 16 f32 or 32 bf16
inline constexpr int64_t kAmxStep = 32;   // elements of r an instruction sums
inline constexpr int64_t kAmxTile = kAmxRows * kAmxBytes;
inline constexpr int64_t kAmxSquare = 2 * kAmxRows;  // rows and columns of a micro-kernel
// What one step needs of a plane of B: 16 rows of two tiles side by side.
inline constexpr int64_t kAmxPair = 2 * kAmxTile;

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
