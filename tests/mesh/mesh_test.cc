#include "ashlar/mesh/mesh.h"

#include "tests/base/messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ashlar {
namespace {

using ::ashlar::testing::error_of;
using ::testing::ElementsAre;

using Names = std::vector<std::string>;

TEST(Mesh, TensorVariesFastestAndPipeSlowest) {
  const Mesh mesh = Mesh::standard({.data = 2, .tensor = 2, .pipe = 2});
  EXPECT_EQ(mesh.size(), 8);
  EXPECT_EQ(mesh.size("context"), 1);
  EXPECT_EQ(mesh.coordinate(1, "tensor"), 1);
  EXPECT_EQ(mesh.coordinate(2, "data"), 1);
  EXPECT_EQ(mesh.coordinate(4, "pipe"), 1);
  EXPECT_EQ(mesh.coordinate(3, "pipe"), 0);
  EXPECT_EQ(mesh.str(), "pipe=2 data=2 tensor=2");
}

TEST(Mesh, CoordinatesAndRanksAreInverse) {
  const Mesh mesh({{"a", 3}, {"b", 1}, {"c", 4}, {"d", 2}});
  for (int rank = 0; rank < mesh.size(); ++rank) {
    const std::vector<int> at = mesh.coordinates(rank);
    EXPECT_EQ(mesh.rank_at(at), rank);
    EXPECT_EQ(((at[0] * 1 + at[1]) * 4 + at[2]) * 2 + at[3], rank);
  }
}

TEST(Mesh, GroupsAlongOneAxisAndSeveral) {
  const Mesh mesh = Mesh::standard({.data = 2, .tensor = 2, .pipe = 2});
  EXPECT_THAT(mesh.group(5, Names{"tensor"}), ElementsAre(4, 5));
  EXPECT_THAT(mesh.group(5, Names{"data"}), ElementsAre(5, 7));
  EXPECT_THAT(mesh.group(5, Names{"pipe"}), ElementsAre(1, 5));
  EXPECT_THAT(mesh.group(5, Names{"pipe", "tensor"}), ElementsAre(0, 1, 4, 5));
  EXPECT_THAT(mesh.group(5, Names{"tensor", "pipe"}), ElementsAre(0, 1, 4, 5));
  EXPECT_THAT(mesh.group(5, Names{"expert"}), ElementsAre(5));
  EXPECT_THAT(mesh.group(5, Names{}), ElementsAre(5));
  EXPECT_THAT(mesh.group(5, Names{"data", "pipe", "tensor"}), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
}

TEST(Mesh, EveryRankIsInOneGroupOfAnAxis) {
  const Mesh mesh({{"x", 2}, {"y", 3}, {"z", 2}});
  for (const char* name : {"x", "y", "z"}) {
    for (int rank = 0; rank < mesh.size(); ++rank) {
      const std::vector<int> group = mesh.group(rank, Names{name});
      EXPECT_EQ(static_cast<int>(group.size()), mesh.size(name));
      for (const int other : group) EXPECT_EQ(mesh.group(other, Names{name}), group);
    }
  }
}

TEST(Mesh, WithoutAxesThereIsOneRank) {
  const Mesh mesh;
  EXPECT_EQ(mesh.size(), 1);
  EXPECT_THAT(mesh.coordinates(0), ElementsAre());
  EXPECT_THAT(mesh.group(0, Names{}), ElementsAre(0));
  EXPECT_EQ(mesh.str(), "one rank");
}

TEST(Mesh, ErrorsNameTheFix) {
  EXPECT_EQ(error_of([] { Mesh::standard({.data = 0}); }),
            "mesh.data: 0 is not positive; an axis that is not used has size 1");
  EXPECT_EQ(error_of([] {
              Mesh({{"a", 2}, {"a", 2}});
            }),
            "mesh: two axes are named a; names must differ");
  EXPECT_EQ(error_of([] {
              Mesh({{"a", 1 << 15}, {"b", 1 << 15}});
            }),
            "mesh.b: 32768 makes more than 1048576 ranks");
  const Mesh mesh = Mesh::standard({.data = 2, .tensor = 2});
  EXPECT_EQ(
      error_of([&] { mesh.axis("tensr"); }),
      "mesh: no axis is named 'tensr' (did you mean tensor?); there are: pipe, data, context, "
      "expert, tensor");
  EXPECT_EQ(error_of([&] { mesh.coordinates(4); }),
            "mesh data=2 tensor=2: rank 4 is not in [0, 4)");
  EXPECT_EQ(error_of([&] {
              mesh.rank_at(std::vector{0, 2, 0, 0, 0});
            }),
            "mesh data=2 tensor=2: coordinate 2 on data is not in [0, 2)");
}

TEST(Mesh, AJobOfAnotherSizeHearsWhatFits) {
  const Mesh mesh = Mesh::standard({.data = 2, .tensor = 2});
  mesh.check_job(4);
  EXPECT_EQ(error_of([&] { mesh.check_job(8); }),
            "mesh data=2 tensor=2: 4 ranks, but the job has 8: start 4 ranks or set mesh.data=4");
  EXPECT_EQ(error_of([&] { mesh.check_job(5); }),
            "mesh data=2 tensor=2: 4 ranks, but the job has 5: start 4 ranks");
  EXPECT_EQ(error_of([&] { Mesh::standard({}).check_job(3); }),
            "mesh one rank: 1 ranks, but the job has 3: start 1 ranks or set mesh.data=3");
}

}  // namespace
}  // namespace ashlar
