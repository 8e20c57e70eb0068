// Copies between parts of one array, against element by element.
#include "ashlar/mesh/part.h"

#include "ashlar/base/philox.h"

#include <gtest/gtest.h>

#include <numeric>

namespace ashlar {
namespace {

bool holds(const Part& part, const std::vector<int64_t>& at) {
  for (size_t dim = 0; dim < part.size(); ++dim) {
    if (at[dim] < part[dim].offset || at[dim] >= part[dim].end()) return false;
  }
  return true;
}

// Calls f with every element of a part and its number in the part.
template <typename F>
void each(const Part& part, F&& f) {
  for (int64_t i = 0; i < elements(part); ++i) {
    std::vector<int64_t> at(part.size());
    int64_t rest = i;
    for (size_t dim = part.size(); dim-- > 0;) {
      at[dim] = part[dim].offset + rest % part[dim].length;
      rest /= part[dim].length;
    }
    f(at, static_cast<size_t>(i));
  }
}

int32_t name_of(const std::vector<int64_t>& at) {
  int32_t name = 1;
  for (const int64_t i : at) name = name * 10 + static_cast<int32_t>(i);
  return name;
}

TEST(Part, CopiesWhatBothHold) {
  const RandomStream random(3, "parts");
  uint64_t draw = 0;
  const auto slice = [&](int64_t n) {
    const auto begin = static_cast<int64_t>(random.bits(draw++) % static_cast<uint64_t>(n));
    return Slice{begin,
                 1 + static_cast<int64_t>(random.bits(draw++) % static_cast<uint64_t>(n - begin))};
  };
  int copied = 0;
  for (int trial = 0; trial < 500; ++trial) {
    const int rank = trial % 5;
    Part from, to;
    for (int dim = 0; dim < rank; ++dim) {
      // Often whole, so that runs of several dims occur.
      const bool whole = random.bits(draw++) % 2 == 0;
      from.push_back(whole ? Slice{0, 5} : slice(5));
      to.push_back(random.bits(draw++) % 2 == 0 ? from.back() : slice(5));
    }
    std::vector<int32_t> source(static_cast<size_t>(elements(from)));
    std::vector<int32_t> target(static_cast<size_t>(elements(to)), -1);
    each(from, [&](const auto& at, size_t i) { source[i] = name_of(at); });
    const int64_t bytes =
        copy_overlap(from, std::as_bytes(std::span(source)).data(), to,
                     std::as_writable_bytes(std::span(target)).data(), sizeof(int32_t));
    int64_t wanted = 0;
    each(to, [&](const auto& at, size_t i) {
      const bool common = holds(from, at);
      wanted += common ? 4 : 0;
      ASSERT_EQ(target[i], common ? name_of(at) : -1) << str(from) << " to " << str(to);
    });
    ASSERT_EQ(bytes, wanted);
    ASSERT_EQ(overlap(from, to).has_value(), wanted > 0);
    copied += wanted > 0 ? 1 : 0;
  }
  EXPECT_GT(copied, 250);
}

// Element by element, of every part whose cut dims runs can tell.
TEST(Part, RunsSayWhereElementsLie) {
  const std::vector<int64_t> whole = {5, 4, 6};
  const auto place = [&](const std::vector<int64_t>& at) {
    return (at[0] * whole[1] + at[1]) * whole[2] + at[2];
  };
  int told = 0;
  for (const Slice& a : {Slice{0, 5}, Slice{1, 3}}) {
    for (const Slice& b : {Slice{0, 4}, Slice{2, 2}}) {
      for (const Slice& c : {Slice{0, 6}, Slice{1, 3}}) {
        const Part part = {a, b, c};
        const auto runs = runs_of(part, whole);
        EXPECT_EQ(runs.has_value(), b.length == 4 || c.length == 6) << str(part);
        if (!runs) continue;
        ++told;
        each(part, [&](const std::vector<int64_t>& at, size_t i) {
          const auto k = static_cast<int64_t>(i);
          EXPECT_EQ(runs->first + k / runs->run * runs->stride + k % runs->run, place(at));
        });
      }
    }
  }
  EXPECT_EQ(told, 6);
  EXPECT_EQ(runs_of(Part{{2, 3}}, std::vector<int64_t>{9}), (PartRuns{2, 3, 9}));
}

TEST(Part, AScalarIsOneElement) {
  EXPECT_EQ(elements(Part{}), 1);
  EXPECT_TRUE(overlap(Part{}, Part{}).has_value());
  EXPECT_EQ(str(Part{{0, 4}, {16, 16}}), "[0:4, 16:32]");
}

}  // namespace
}  // namespace ashlar
