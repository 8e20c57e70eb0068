// Data of the collective cases: values that any rank can compute for any other, and comparison.
#pragma once

#include "ashlar/base/error.h"
#include "ashlar/comm/communicator.h"
#include "ashlar/mesh/slice.h"

#include <cmath>
#include <cstring>
#include <string_view>
#include <type_traits>
#include <vector>

namespace ashlar::comm::testing {

inline constexpr int64_t kSizes[] = {0, 1, 7, 8, 1000, 4099};

inline uint64_t scramble(uint64_t x) {  // splitmix64
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// Element i of a rank's data. Floats differ in magnitude, so that the order of a sum shows.
template <typename T>
T value_of(int rank, int64_t i) {
  const uint64_t h = scramble((static_cast<uint64_t>(rank) << 40) + static_cast<uint64_t>(i));
  const double x =
      std::ldexp(static_cast<double>(h >> 12) * 0x1p-52 - 0.5, static_cast<int>(h % 12));
  if constexpr (std::is_same_v<T, bf16>)
    return to_bf16(static_cast<float>(x));
  else if constexpr (std::is_floating_point_v<T>)
    return static_cast<T>(x);
  else
    return static_cast<T>(h);
}

template <typename T>
std::vector<T> data_of(int rank, int64_t n, int64_t first = 0) {
  std::vector<T> data(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) data[static_cast<size_t>(i)] = value_of<T>(rank, first + i);
  return data;
}

// What ranks that hold `terms` must get, added in that order.
template <typename T>
std::vector<T> serial_reduce(Reduce reduce, const std::vector<std::vector<T>>& terms) {
  std::vector<T> result = terms[0];
  for (size_t i = 0; i < result.size(); ++i) {
    const auto combine = [&](auto a, auto b) {
      return reduce == Reduce::kSum ? a + b : (a < b ? b : a);
    };
    if constexpr (std::is_same_v<T, bf16>) {
      float sum = to_float(terms[0][i]);
      for (size_t k = 1; k < terms.size(); ++k) sum = combine(sum, to_float(terms[k][i]));
      result[i] = to_bf16(sum);
    } else if constexpr (std::is_floating_point_v<T>) {
      for (size_t k = 1; k < terms.size(); ++k) result[i] = combine(result[i], terms[k][i]);
    } else if (reduce == Reduce::kSum) {
      uint64_t sum = 0;
      for (const std::vector<T>& term : terms) sum += static_cast<uint64_t>(term[i]);
      result[i] = static_cast<T>(sum);
    } else {
      for (const std::vector<T>& term : terms) result[i] = std::max(result[i], term[i]);
    }
  }
  return result;
}

template <typename T>
std::vector<std::vector<T>> terms_of(const Group& group, int64_t n) {
  std::vector<std::vector<T>> terms;
  for (const int rank : group.ranks) terms.push_back(data_of<T>(rank, n));
  return terms;
}

template <typename T>
void expect_bits(std::string_view what, const std::vector<T>& found, const std::vector<T>& wanted) {
  ASHLAR_CHECK(found.size() == wanted.size(), "{}: {} elements, wanted {}", what, found.size(),
               wanted.size());
  for (size_t i = 0; i < found.size(); ++i)
    ASHLAR_CHECK(std::memcmp(&found[i], &wanted[i], sizeof(T)) == 0,
                 "{} {}: element {} of {} differs from the serial result", what,
                 ashlar::name(DTypeOf<T>::value), i, found.size());
}

template <typename A, typename B>
void expect_equal(std::string_view what, A found, B wanted) {
  ASHLAR_CHECK(found == static_cast<A>(wanted), "{}: {}, wanted {}", what, found, wanted);
}

// What `f` made this rank send.
template <typename F>
Traffic traffic_of(Communicator& comm, std::string_view axis, CommOp op, F f) {
  const Traffic before = comm.counters().of(axis, op);
  f();
  const Traffic after = comm.counters().of(axis, op);
  return {after.bytes - before.bytes, after.messages - before.messages,
          after.seconds_waited - before.seconds_waited};
}

// f.operator()<T>() for every dtype that can be reduced.
template <typename F>
void for_dtypes(F f) {
  f.template operator()<double>();
  f.template operator()<float>();
  f.template operator()<bf16>();
  f.template operator()<int32_t>();
  f.template operator()<int64_t>();
}

// n elements dealt unevenly, some ranks perhaps getting none.
inline std::vector<int64_t> uneven_counts(int ranks, int64_t n) {
  std::vector<int64_t> counts(static_cast<size_t>(ranks));
  for (int i = 0; i + 1 < ranks; ++i) {
    const auto share = static_cast<int64_t>(scramble(static_cast<uint64_t>(i)) % 1000);
    counts[static_cast<size_t>(i)] = i == 1 ? 0 : n * share / 1000;
    n -= counts[static_cast<size_t>(i)];
  }
  counts.back() = n;
  return counts;
}

}  // namespace ashlar::comm::testing
