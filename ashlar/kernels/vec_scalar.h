// Vec in plain C++ for any 64-bit machine: arrays of 16. See vec.h, which includes this file.
#pragma once

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

struct Vec {
  float lane[kLanes];
};
struct Ints {
  int32_t lane[kLanes];
};
struct Mask {
  bool lane[kLanes];
};

// f(i) for each lane i: R is the result.
template <typename R, typename F>
ASHLAR_INLINE R each_lane(F f) {
  R r;
  for (int i = 0; i < kLanes; ++i) r.lane[i] = f(i);
  return r;
}
ASHLAR_INLINE int32_t wrap(uint32_t x) { return static_cast<int32_t>(x); }
ASHLAR_INLINE uint32_t bits_of(int32_t x) { return static_cast<uint32_t>(x); }

// ---------------------------------------------------------------- masks
ASHLAR_INLINE Mask first_lanes(int64_t count) {
  return each_lane<Mask>([&](int i) { return i < count; });
}
ASHLAR_INLINE Mask operator&(const Mask& a, const Mask& b) {
  return each_lane<Mask>([&](int i) { return a.lane[i] && b.lane[i]; });
}
ASHLAR_INLINE Mask operator|(const Mask& a, const Mask& b) {
  return each_lane<Mask>([&](int i) { return a.lane[i] || b.lane[i]; });
}
ASHLAR_INLINE Mask operator!(const Mask& a) {
  return each_lane<Mask>([&](int i) { return !a.lane[i]; });
}
ASHLAR_INLINE bool any(const Mask& a) {
  bool found = false;
  for (int i = 0; i < kLanes; ++i) found = found || a.lane[i];
  return found;
}
ASHLAR_INLINE bool all(const Mask& a) { return !any(!a); }

// ---------------------------------------------------------------- floats
ASHLAR_INLINE Vec broadcast(float x) {
  return each_lane<Vec>([&](int) { return x; });
}
ASHLAR_INLINE Vec zero() { return broadcast(0); }
ASHLAR_INLINE Vec operator+(const Vec& a, const Vec& b) {
  return each_lane<Vec>([&](int i) { return a.lane[i] + b.lane[i]; });
}
ASHLAR_INLINE Vec operator-(const Vec& a, const Vec& b) {
  return each_lane<Vec>([&](int i) { return a.lane[i] - b.lane[i]; });
}
ASHLAR_INLINE Vec operator*(const Vec& a, const Vec& b) {
  return each_lane<Vec>([&](int i) { return a.lane[i] * b.lane[i]; });
}
ASHLAR_INLINE Vec operator/(const Vec& a, const Vec& b) {
  return each_lane<Vec>([&](int i) { return a.lane[i] / b.lane[i]; });
}
ASHLAR_INLINE Vec operator-(const Vec& a) {
  return each_lane<Vec>([&](int i) { return -a.lane[i]; });
}
// a * b + c and c - a * b: here rounded twice.
ASHLAR_INLINE Vec fma(const Vec& a, const Vec& b, const Vec& c) {
  return each_lane<Vec>([&](int i) { return a.lane[i] * b.lane[i] + c.lane[i]; });
}
ASHLAR_INLINE Vec fnma(const Vec& a, const Vec& b, const Vec& c) {
  return each_lane<Vec>([&](int i) { return c.lane[i] - a.lane[i] * b.lane[i]; });
}
// As x86 has it: b where either is NaN.
ASHLAR_INLINE Vec min(const Vec& a, const Vec& b) {
  return each_lane<Vec>([&](int i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; });
}
ASHLAR_INLINE Vec max(const Vec& a, const Vec& b) {
  return each_lane<Vec>([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
}
ASHLAR_INLINE Vec abs(const Vec& a) {
  return each_lane<Vec>([&](int i) { return __builtin_fabsf(a.lane[i]); });
}
ASHLAR_INLINE Vec sqrt(const Vec& a) {
  return each_lane<Vec>([&](int i) { return __builtin_sqrtf(a.lane[i]); });
}
ASHLAR_INLINE Vec round(const Vec& a) {
  return each_lane<Vec>([&](int i) { return __builtin_rintf(a.lane[i]); });
}
ASHLAR_INLINE Vec floor(const Vec& a) {
  return each_lane<Vec>([&](int i) { return __builtin_floorf(a.lane[i]); });
}
ASHLAR_INLINE Mask less(const Vec& a, const Vec& b) {
  return each_lane<Mask>([&](int i) { return a.lane[i] < b.lane[i]; });
}
ASHLAR_INLINE Mask less_equal(const Vec& a, const Vec& b) {
  return each_lane<Mask>([&](int i) { return a.lane[i] <= b.lane[i]; });
}
ASHLAR_INLINE Mask greater(const Vec& a, const Vec& b) { return less(b, a); }
ASHLAR_INLINE Mask greater_equal(const Vec& a, const Vec& b) { return less_equal(b, a); }
ASHLAR_INLINE Mask equal(const Vec& a, const Vec& b) {
  return each_lane<Mask>([&](int i) { return a.lane[i] == b.lane[i]; });
}
// mask ? a : b
ASHLAR_INLINE Vec select(const Mask& m, const Vec& a, const Vec& b) {
  return each_lane<Vec>([&](int i) { return m.lane[i] ? a.lane[i] : b.lane[i]; });
}

// ---------------------------------------------------------------- integers
ASHLAR_INLINE Ints ints(int32_t x) {
  return each_lane<Ints>([&](int) { return x; });
}
ASHLAR_INLINE Ints iota() {
  return each_lane<Ints>([](int i) { return i; });
}
ASHLAR_INLINE Ints load(const int32_t* p) {
  return each_lane<Ints>([&](int i) { return p[i]; });
}
ASHLAR_INLINE void store(int32_t* p, const Ints& a) {
  for (int i = 0; i < kLanes; ++i) p[i] = a.lane[i];
}
ASHLAR_INLINE Ints operator+(const Ints& a, const Ints& b) {
  return each_lane<Ints>([&](int i) { return wrap(bits_of(a.lane[i]) + bits_of(b.lane[i])); });
}
ASHLAR_INLINE Ints operator-(const Ints& a, const Ints& b) {
  return each_lane<Ints>([&](int i) { return wrap(bits_of(a.lane[i]) - bits_of(b.lane[i])); });
}
ASHLAR_INLINE Ints operator*(const Ints& a, const Ints& b) {
  return each_lane<Ints>([&](int i) { return wrap(bits_of(a.lane[i]) * bits_of(b.lane[i])); });
}
ASHLAR_INLINE Ints operator&(const Ints& a, const Ints& b) {
  return each_lane<Ints>([&](int i) { return a.lane[i] & b.lane[i]; });
}
ASHLAR_INLINE Ints operator|(const Ints& a, const Ints& b) {
  return each_lane<Ints>([&](int i) { return a.lane[i] | b.lane[i]; });
}
ASHLAR_INLINE Ints operator^(const Ints& a, const Ints& b) {
  return each_lane<Ints>([&](int i) { return a.lane[i] ^ b.lane[i]; });
}
template <int kBits>
ASHLAR_INLINE Ints shift_left(const Ints& a) {
  return each_lane<Ints>([&](int i) { return wrap(bits_of(a.lane[i]) << kBits); });
}
template <int kBits>
ASHLAR_INLINE Ints shift_right(const Ints& a) {
  return each_lane<Ints>([&](int i) { return wrap(bits_of(a.lane[i]) >> kBits); });
}
template <int kBits>
ASHLAR_INLINE Ints shift_right_signed(const Ints& a) {
  return each_lane<Ints>([&](int i) { return a.lane[i] >> kBits; });
}
// Unsigned 64-bit products of the even lanes, each over its pair of lanes.
ASHLAR_INLINE Ints mul_even(const Ints& a, const Ints& b) {
  return each_lane<Ints>([&](int i) {
    const uint64_t product = uint64_t{bits_of(a.lane[i & ~1])} * bits_of(b.lane[i & ~1]);
    return wrap(static_cast<uint32_t>(i % 2 == 0 ? product : product >> 32));
  });
}
// Odd lanes moved to the even ones, zeros behind; even lanes of a and of b, side by side.
ASHLAR_INLINE Ints odd_lanes(const Ints& a) {
  return each_lane<Ints>([&](int i) { return i % 2 == 0 ? a.lane[i + 1] : 0; });
}
ASHLAR_INLINE Ints pair_even(const Ints& a, const Ints& b) {
  return each_lane<Ints>([&](int i) { return i % 2 == 0 ? a.lane[i] : b.lane[i - 1]; });
}
ASHLAR_INLINE Mask equal(const Ints& a, const Ints& b) {
  return each_lane<Mask>([&](int i) { return a.lane[i] == b.lane[i]; });
}
ASHLAR_INLINE Ints max(const Ints& a, const Ints& b) {
  return each_lane<Ints>([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
}
ASHLAR_INLINE Mask greater(const Ints& a, const Ints& b) {
  return each_lane<Mask>([&](int i) { return a.lane[i] > b.lane[i]; });
}
ASHLAR_INLINE Ints select(const Mask& m, const Ints& a, const Ints& b) {
  return each_lane<Ints>([&](int i) { return m.lane[i] ? a.lane[i] : b.lane[i]; });
}
// To nearest even; out of range gives the smallest integer, as x86 does.
ASHLAR_INLINE Ints to_ints(const Vec& a) {
  return each_lane<Ints>([&](int i) {
    const float x = __builtin_rintf(a.lane[i]);
    return x >= -0x1.0p31f && x < 0x1.0p31f ? static_cast<int32_t>(x) : INT32_MIN;
  });
}
ASHLAR_INLINE Vec to_floats(const Ints& a) {
  return each_lane<Vec>([&](int i) { return static_cast<float>(a.lane[i]); });
}
ASHLAR_INLINE Ints as_ints(const Vec& a) { return __builtin_bit_cast(Ints, a); }
ASHLAR_INLINE Vec as_floats(const Ints& a) { return __builtin_bit_cast(Vec, a); }

// ---------------------------------------------------------------- memory
template <typename T>
ASHLAR_INLINE Vec load(const T* p) {
  return each_lane<Vec>([&](int i) { return widen(p[i]); });
}
template <typename T>
ASHLAR_INLINE Vec load(const T* p, int64_t count) {
  return each_lane<Vec>([&](int i) { return i < count ? widen(p[i]) : 0.0f; });
}
template <typename T>
ASHLAR_INLINE void store(T* p, const Vec& a, int64_t count = kLanes) {
  for (int i = 0; i < count; ++i) narrow(a.lane[i], p + i);
}

// ---------------------------------------------------------------- across lanes
// Trees: lane j with j + 8, j + 4, j + 2, j + 1.
ASHLAR_INLINE float reduce_add(Vec a) {
  for (int half = kLanes / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) a.lane[i] += a.lane[i + half];
  return a.lane[0];
}
ASHLAR_INLINE float reduce_max(Vec a) {
  for (int half = kLanes / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i)
      a.lane[i] = a.lane[i] > a.lane[i + half] ? a.lane[i] : a.lane[i + half];
  return a.lane[0];
}
// Lanes 2i and 2i + 1 change places.
ASHLAR_INLINE Vec swap_pairs(const Vec& a) {
  return each_lane<Vec>([&](int i) { return a.lane[i ^ 1]; });
}
// In each group of 4 lanes, w[0..3] are the columns of a 4x4 matrix: transposes them in place.
ASHLAR_INLINE void transpose_quads(Ints (&w)[4]) {
  Ints rows[4];
  for (int k = 0; k < 4; ++k) {
    rows[k] = each_lane<Ints>([&](int i) { return w[i % 4].lane[i / 4 * 4 + k]; });
  }
  for (int k = 0; k < 4; ++k) w[k] = rows[k];
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
