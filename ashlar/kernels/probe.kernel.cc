// Loops that do nothing but keep the load ports or the multipliers busy.
#include "ashlar/kernels/probe_table.h"
#include "ashlar/kernels/vec.h"
#if defined(__AVX2__) && !defined(__AVX512F__)
#include "ashlar/kernels/vec_pairs.h"
#endif

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {
namespace {

float read(const float* data, int64_t count) {
  constexpr int kChains = 4;
  Vec sums[kChains] = {zero(), zero(), zero(), zero()};
  int64_t i = 0;
  for (; i + kChains * kLanes <= count; i += kChains * kLanes) {
#pragma GCC unroll 4
    for (int k = 0; k < kChains; ++k) sums[k] = sums[k] + load(data + i + k * kLanes);
  }
  for (; i < count; i += kLanes) {
    sums[0] = sums[0] + load(data + i, count - i < kLanes ? count - i : kLanes);
  }
  return reduce_add(sums[0] + sums[1] + (sums[2] + sums[3]));
}

// A Vec is one register of avx512, two of avx2, four of scalar's: 12 chains each. Two operations
// can start in a cycle and take at most 5, so that 10 keep the units busy.
#if defined(__AVX512F__)
constexpr int kVecs = 12;
#elif defined(__AVX2__)
constexpr int kVecs = 6;
#else
constexpr int kVecs = 3;
#endif

// Every lane of every chain starts elsewhere, or the compiler would compute equal ones once.
ASHLAR_INLINE Ints start(int chain) { return iota() + ints(chain * kLanes); }

float multiply_add(int64_t steps) {
  const Vec factor = broadcast(0.99f), term = broadcast(0.01f);
  Vec sums[kVecs];
#pragma GCC unroll 12
  for (int k = 0; k < kVecs; ++k) sums[k] = to_floats(start(k));
  for (int64_t i = 0; i < steps; ++i) {
#pragma GCC unroll 12
    for (int k = 0; k < kVecs; ++k) sums[k] = fma(sums[k], factor, term);
  }
  Vec total = zero();
#pragma GCC unroll 12
  for (int k = 0; k < kVecs; ++k) total = total + sums[k];
  return reduce_add(total);
}

constexpr ArithmeticLoop kF32 = {multiply_add, 2 * kLanes* kVecs};

// A register of dot products accumulates 2 bf16 products or 4 of bytes in each of its 16 lanes.
#if defined(__AVX512BF16__)
float bf16_dots(int64_t steps) {
  const auto ones = reinterpret_cast<__m512bh>(_mm512_set1_epi16(0x3f80));
  __m512 sums[kVecs];
#pragma GCC unroll 12
  for (int k = 0; k < kVecs; ++k) sums[k] = to_floats(start(k)).v;
  for (int64_t i = 0; i < steps; ++i) {
#pragma GCC unroll 12
    for (int k = 0; k < kVecs; ++k) sums[k] = _mm512_dpbf16_ps(sums[k], ones, ones);
  }
  Vec total = zero();
#pragma GCC unroll 12
  for (int k = 0; k < kVecs; ++k) total = total + Vec{sums[k]};
  return reduce_add(total);
}
constexpr ArithmeticLoop kBf16Dot = {bf16_dots, 2 * 2 * kLanes* kVecs};
#else
constexpr ArithmeticLoop kBf16Dot = {};
#endif

#if defined(__AVX512VNNI__)
float int8_dots(int64_t steps) {
  const __m512i ones = _mm512_set1_epi8(1);
  __m512i sums[kVecs];
#pragma GCC unroll 12
  for (int k = 0; k < kVecs; ++k) sums[k] = start(k).v;
  for (int64_t i = 0; i < steps; ++i) {
#pragma GCC unroll 12
    for (int k = 0; k < kVecs; ++k) sums[k] = _mm512_dpbusd_epi32(sums[k], ones, ones);
  }
  Ints total = ints(0);
#pragma GCC unroll 12
  for (int k = 0; k < kVecs; ++k) total = total + Ints{sums[k]};
  return reduce_add(to_floats(total));
}
constexpr ArithmeticLoop kInt8Dot = {int8_dots, 2 * 4 * kLanes* kVecs};
constexpr ArithmeticLoop kInt4Dot = {};
#elif defined(__AVX2__)
// A register of sums is of 16 numbers by codes of four bits, of 8 by codes of eight.
constexpr int kSums = 6;
template <typename Sum, typename Dot>
ASHLAR_INLINE void dots(int64_t steps, Ints ones, Sum (&sums)[kSums], Dot&& dot) {
#pragma GCC unroll 6
  for (int k = 0; k < kSums; ++k) sums[k] = {start(k).lo, start(k).hi};
  for (int64_t i = 0; i < steps; ++i) {
#pragma GCC unroll 6
    for (int k = 0; k < kSums; ++k) {
      asm volatile("" : "+x"(ones.lo), "+x"(ones.hi));  // or one product would serve all
      sums[k] = dot(sums[k], ones);
    }
  }
}
float int4_dots(int64_t steps) {
  NibbleSums sums[kSums];
  dots(steps, ints(0x01010101), sums, [](NibbleSums s, Ints x) { return dot_nibbles(s, x, x); });
  Ints all = ints(0);
  for (const NibbleSums& sum : sums) all = add_scaled(all, sum, ints(1));
  return reduce_add(to_floats(all));
}
float int8_dots(int64_t steps) {
  Ints sums[kSums];
  dots(steps, ints(0x00010001), sums, [](Ints sum, Ints x) { return dot_pairs(sum, x, x.lo); });
  Ints all = ints(0);
  for (const Ints& sum : sums) all = all + sum;
  return reduce_add(to_floats(all));
}
constexpr ArithmeticLoop kInt8Dot = {int8_dots, 2 * 2 * kLanes* kSums};
constexpr ArithmeticLoop kInt4Dot = {int4_dots, 2 * 4 * kLanes* kSums};
#else
constexpr ArithmeticLoop kInt8Dot = {}, kInt4Dot = {};
#endif

}  // namespace

void fill_probe(ProbeTable& table) { table = {read, kF32, kBf16Dot, kInt8Dot, kInt4Dot}; }

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
