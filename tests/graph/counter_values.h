// Values that a name and an index determine, the same bits in C++ and in
// tests/oracles/torch_ops.py: inputs of goldens need not be stored. splitmix64 (Steele et al. 2014)
// over a hash of the name.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace ashlar::graph {

// 64 random bits of element i of the array called `name`.
uint64_t counter_bits(std::string_view name, uint64_t i);

// n values u * scale + offset in f32, u uniform in [-1, 1) in steps of 2^-23.
std::vector<float> counter_values(std::string_view name, int64_t n, float scale = 1,
                                  float offset = 0);

// n numbers in [0, below).
std::vector<int32_t> counter_ids(std::string_view name, int64_t n, int64_t below);

}  // namespace ashlar::graph
