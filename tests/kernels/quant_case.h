// Products with quantised weights for the tests of gemm: random blocks of a format, rows of
// activations, the product by a table, and its reference in double.
#pragma once

#include "ashlar/kernels/args.h"
#include "tests/kernels/array.h"
#include "tests/kernels/tier_fixture.h"

#include <cstddef>
#include <optional>
#include <vector>

namespace ashlar::kernels {

inline constexpr DType kQuantFormats[] = {DType::kQ8_0, DType::kQ4_0, DType::kQ4K, DType::kQ6K};

struct QuantWeights {
  DType format;
  int64_t n, r;
  std::vector<std::byte> blocks;  // [N] rows, as GGUF has them
  std::vector<double> values;     // [N,R], what the blocks mean
};
// Any codes (or all bytes `code`) and small scales; scales between 2^-9 and 2^-6.
QuantWeights random_weights(DType format, int64_t n, int64_t r,
                            std::optional<std::byte> code = std::nullopt);

std::vector<std::byte> packed(const KernelTable& table, const QuantWeights& weights);

// [M,N] of f32: rows is [M,R] of f32, bf16 or f16. With nothing packed, by the blocks.
Array run_product(const KernelTable& table, TestTeam& team, const QuantWeights& weights,
                  const std::vector<std::byte>& packed, const Array& rows);

// With activations and scales rounded as the contract in args.h says, summed in double.
std::vector<double> product_reference(const QuantWeights& weights, const Array& rows);
// How far that rounding can take each element from the product of the unrounded ones.
std::vector<double> rounding_bound(const QuantWeights& weights, const Array& rows);
std::vector<double> unrounded_product(const QuantWeights& weights, const Array& rows);

}  // namespace ashlar::kernels
