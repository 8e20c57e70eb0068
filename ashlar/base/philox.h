// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as
// 1, 2, 3", SC 2011). A draw is a pure function of (key, counter), so a dropout mask or an initial
// weight is the same however a tensor is split, recomputed or renamed.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <string_view>

namespace ashlar {

using PhiloxBlock = std::array<uint32_t, 4>;

// Four 32-bit words for one 128-bit counter under one 64-bit key.
constexpr PhiloxBlock philox4x32(uint64_t key, PhiloxBlock counter) {
  uint32_t k0 = static_cast<uint32_t>(key);
  uint32_t k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * counter[0];
    const uint64_t p1 = uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<uint32_t>(p1 >> 32) ^ counter[1] ^ k0, static_cast<uint32_t>(p1),
               static_cast<uint32_t>(p0 >> 32) ^ counter[3] ^ k1, static_cast<uint32_t>(p0)};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return counter;
}

// FNV-1a: turns a layer path into part of a key.
constexpr uint64_t hash_path(std::string_view path) {
  uint64_t hash = 14695981039346656037ull;
  for (const char c : path) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ull;
  return hash;
}

// The key of a stream: one per (seed, layer path).
constexpr uint64_t stream_key(uint64_t seed, std::string_view path) {
  return seed * 0x9E3779B97F4A7C15ull ^ hash_path(path);
}

// The stream of one purpose: key = (seed, path), counter = (step, element). Element i of a stream
// is word i % 4 of block i / 4.
class RandomStream {
 public:
  RandomStream(uint64_t seed, std::string_view path, uint64_t step = 0)
      : key_(stream_key(seed, path)), step_(step) {}

  PhiloxBlock block(uint64_t index) const {
    return philox4x32(key_, {static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32),
                             static_cast<uint32_t>(step_), static_cast<uint32_t>(step_ >> 32)});
  }
  uint32_t bits(uint64_t element) const { return block(element / 4)[element % 4]; }

  // Uniform in [0, 1), 24 bits.
  float uniform(uint64_t element) const {
    return static_cast<float>(bits(element) >> 8) * 0x1.0p-24f;
  }
  // Standard normals by Box-Muller, in pairs: elements 2i and 2i + 1.
  std::array<double, 2> normal_pair(uint64_t pair) const {
    const PhiloxBlock words = block(pair);
    const double u1 = (static_cast<double>(words[0]) + 1.0) * 0x1.0p-32;
    const double u2 = static_cast<double>(words[1]) * 0x1.0p-32;
    const double radius = std::sqrt(-2.0 * std::log(u1));
    const double angle = 6.283185307179586476925286766559 * u2;
    return {radius * std::cos(angle), radius * std::sin(angle)};
  }
  double normal(uint64_t element) const { return normal_pair(element / 2)[element % 2]; }
  // Uniform integer in [0, bound), by multiply-shift of 64 bits (bias below 2^-32 for bound <
  // 2^32).
  uint64_t below(uint64_t element, uint64_t bound) const {
    const PhiloxBlock words = block(element);
    const uint64_t wide = (uint64_t{words[0]} << 32) | words[1];
    return static_cast<uint64_t>((static_cast<unsigned __int128>(wide) * bound) >> 64);
  }

 private:
  uint64_t key_;
  uint64_t step_;
};

}  // namespace ashlar
