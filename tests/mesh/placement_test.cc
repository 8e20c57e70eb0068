#include "ashlar/mesh/placement.h"

#include "tests/base/messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

namespace ashlar {
namespace {

using ::ashlar::testing::error_of;
using ::testing::ElementsAre;

using Dims = std::vector<int64_t>;

const Mesh& mesh8() {
  static const Mesh mesh = Mesh::standard({.data = 2, .tensor = 2, .pipe = 2});
  return mesh;
}

TEST(Slice, RemaindersGoToTheFirstParts) {
  EXPECT_EQ(slice_of(7, 3, 0), (Slice{0, 3}));
  EXPECT_EQ(slice_of(7, 3, 1), (Slice{3, 2}));
  EXPECT_EQ(slice_of(7, 3, 2), (Slice{5, 2}));
  EXPECT_EQ(slice_of(2, 4, 3), (Slice{2, 0}));
}

TEST(Slice, PartsCoverEverythingOnce) {
  for (const int64_t n : {0, 1, 5, 8, 1000, 4099}) {
    for (int parts = 1; parts <= 9; ++parts) {
      int64_t next = 0;
      for (int part = 0; part < parts; ++part) {
        const Slice slice = slice_of(n, parts, part);
        EXPECT_EQ(slice.offset, next);
        EXPECT_GE(slice.length, n / parts);
        EXPECT_LE(slice.length, (n + parts - 1) / parts);
        next = slice.end();
      }
      EXPECT_EQ(next, n);
    }
  }
}

TEST(Placement, TextForm) {
  const Placement placement = Placement::replicated(mesh8())
                                  .with(mesh8(), "data", AxisPlacement::split(0))
                                  .with(mesh8(), "tensor", AxisPlacement::partial());
  EXPECT_EQ(placement.str(mesh8()), "data=S(0) tensor=P");
  EXPECT_EQ(Placement::replicated(mesh8()).str(mesh8()), "R");
  for (const char* text : {"R", "data=S(0) tensor=P", "pipe=S(1) data=S(12)", "tensor=P"})
    EXPECT_EQ(Placement::parse(mesh8(), text).str(mesh8()), text);
  EXPECT_EQ(Placement::parse(mesh8(), "tensor=P data=S(0) pipe=R"), placement);
  EXPECT_NE(Placement::parse(mesh8(), "data=S(1) tensor=P"), placement);
  EXPECT_TRUE(placement.is_partial());
  EXPECT_FALSE(Placement::parse(mesh8(), "data=S(0)").is_partial());
  EXPECT_EQ(placement.on(mesh8(), "data").str(), "S(0)");
}

TEST(Placement, WrongTextIsRefused) {
  for (const char* text : {"", "r", "S", "S()", "S(-1)", "S(1", "S(1x)", "P "})
    EXPECT_EQ(error_of([&] { AxisPlacement::parse(text); }),
              fmt::format("placement: '{}' is none of R, S(dim), Z(dim), P", text));
  EXPECT_EQ(error_of([] { Placement::parse(mesh8(), "data"); }),
            "placement 'data': 'data' is not axis=R, axis=S(dim) or axis=P");
  EXPECT_EQ(error_of([] { Placement::parse(mesh8(), "data=P data=R"); }),
            "placement 'data=P data=R': axis data is named twice");
}

TEST(Placement, LocalPartOfAnUnevenSplit) {
  const Placement placement = Placement::parse(mesh8(), "tensor=S(1)");
  const Dims shape = {4, 7};
  EXPECT_THAT(local_shape(placement, mesh8(), 6, shape), ElementsAre(4, 4));
  EXPECT_THAT(local_shape(placement, mesh8(), 7, shape), ElementsAre(4, 3));
  EXPECT_THAT(local_part(placement, mesh8(), 7, shape), ElementsAre(Slice{0, 4}, Slice{4, 3}));
}

// Gathering the pieces of the faster axis gives the piece of the slower one.
TEST(Placement, TheSlowerAxisCutsFirst) {
  const Placement both = Placement::parse(mesh8(), "data=S(0) tensor=S(0)");
  const Placement slower = Placement::parse(mesh8(), "data=S(0)");
  const Dims shape = {7};
  for (int rank = 0; rank < 8; rank += 2) {
    const Slice first = local_part(both, mesh8(), rank, shape)[0];
    const Slice second = local_part(both, mesh8(), rank + 1, shape)[0];
    const Slice whole = local_part(slower, mesh8(), rank, shape)[0];
    EXPECT_EQ(first.offset, whole.offset);
    EXPECT_EQ(first.end(), second.offset);
    EXPECT_EQ(second.end(), whole.end());
  }
  EXPECT_THAT(local_part(both, mesh8(), 1, shape), ElementsAre(Slice{2, 2}));
  EXPECT_THAT(local_part(both, mesh8(), 3, shape), ElementsAre(Slice{6, 1}));
}

// Counts how often each element is held: once for a split, on every rank of the other axes.
TEST(Placement, LocalPartsCoverTheValue) {
  const Dims shape = {5, 3};
  for (const char* text : {"R", "data=S(0)", "data=S(0) tensor=S(1)", "pipe=S(1) tensor=S(1)",
                           "pipe=S(0) data=S(0) tensor=S(0)"}) {
    const Placement placement = Placement::parse(mesh8(), text);
    int copies = 8;
    for (const AxisPlacement& axis : placement.axes) copies /= axis.is_split() ? 2 : 1;
    std::vector<int> held(15);
    for (int rank = 0; rank < 8; ++rank) {
      const std::vector<Slice> part = local_part(placement, mesh8(), rank, shape);
      for (int64_t i = part[0].offset; i < part[0].end(); ++i)
        for (int64_t j = part[1].offset; j < part[1].end(); ++j)
          ++held[static_cast<size_t>(i * 3 + j)];
    }
    EXPECT_THAT(held, ::testing::Each(copies)) << text;
  }
}

TEST(Placement, ErrorsNameTheFix) {
  const Placement placement = Placement::parse(mesh8(), "tensor=S(2)");
  EXPECT_EQ(
      error_of([&] {
        placement.validate(mesh8(), Dims{4, 7}, "wq");
      }),
      "wq: S(2) along tensor splits dim 2, but the value is [4, 7]: split one of dims 0 to 1");
  EXPECT_EQ(error_of([&] { placement.validate(mesh8(), Dims{}, "loss"); }),
            "loss: S(2) splits a scalar along tensor: replicate it (R)");
  EXPECT_EQ(error_of([&] {
              placement.validate(Mesh({{"data", 2}}), Dims{4}, "wq");
            }),
            "wq: a placement of 5 axes on a mesh of 1: name one per mesh axis");
  placement.validate(mesh8(), Dims{4, 7, 1}, "wq");  // uneven, even empty, is fine
}

TEST(Placement, WhatCannotBeUnevenNamesTheSizesThatWork) {
  const Placement placement = Placement::parse(mesh8(), "data=S(1) tensor=S(0)");
  placement.validate_even(mesh8(), 0, 8, "attention: heads");
  EXPECT_EQ(error_of([&] { placement.validate_even(mesh8(), 0, 7, "attention: heads"); }),
            "attention: heads: 7 do not divide over 2 ranks along tensor: use 1, 7 of them");
  const Placement both = Placement::parse(mesh8(), "data=S(0) tensor=S(0)");
  EXPECT_EQ(error_of([&] { both.validate_even(mesh8(), 0, 6, "experts"); }),
            "experts: 6 do not divide over 4 ranks along data and tensor: use 1, 2, 3, 6 of them");
}

}  // namespace
}  // namespace ashlar
