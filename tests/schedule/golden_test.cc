// The text of each schedule for a small shape, read against the figures of its paper.
#include "ashlar/schedule/communication.h"
#include "ashlar/schedule/generators.h"
#include "ashlar/schedule/text.h"
#include "tests/base/messages.h"

#include <gtest/gtest.h>

namespace ashlar::schedule {
namespace {

using ashlar::testing::error_of;

struct Golden {
  const char* name;
  Shape shape;
  const char* text;
};
const Golden kGoldens[] = {
    {"gpipe",
     {.ranks = 3, .microbatches = 3},
     "schedule gpipe\n"
     "microbatches 3\n"
     "stages 0 1 2\n"
     "rank 0: F0 F1 F2 BW0 BW1 BW2\n"
     "rank 1: F0 F1 F2 BW0 BW1 BW2\n"
     "rank 2: F0 F1 F2 BW0 BW1 BW2\n"},
    {"1f1b",
     {.ranks = 3, .microbatches = 4},
     "schedule 1f1b\n"
     "microbatches 4\n"
     "stages 0 1 2\n"
     "rank 0: F0 F1 F2 BW0 F3 BW1 BW2 BW3\n"
     "rank 1: F0 F1 BW0 F2 BW1 F3 BW2 BW3\n"
     "rank 2: F0 BW0 F1 BW1 F2 BW2 F3 BW3\n"},
    {"interleaved",
     {.ranks = 2, .microbatches = 4, .chunks = 2},
     "schedule interleaved\n"
     "microbatches 4\n"
     "stages 0 1 0 1\n"
     "rank 0: F0.0 F1.0 F0.1 F1.1 F2.0 BW0.1 F3.0 BW1.1 F2.1 BW0.0 F3.1 BW1.0 BW2.1 "
     "BW3.1 BW2.0 BW3.0\n"
     "rank 1: F0.0 F1.0 F0.1 BW0.1 F1.1 BW1.1 F2.0 BW0.0 F3.0 BW1.0 F2.1 BW2.1 F3.1 "
     "BW3.1 BW2.0 BW3.0\n"},
    {"zb-h1",
     {.ranks = 3, .microbatches = 4},
     "schedule zb-h1\n"
     "microbatches 4\n"
     "stages 0 1 2\n"
     "rank 0: F0 F1 F2 B0 W0 F3 B1 W1 B2 W2 B3 W3\n"
     "rank 1: F0 F1 B0 F2 B1 W0 F3 B2 W1 B3 W2 W3\n"
     "rank 2: F0 B0 F1 B1 F2 B2 W0 F3 B3 W1 W2 W3\n"},
    {"zb-h2",
     {.ranks = 3, .microbatches = 6},
     "schedule zb-h2\n"
     "microbatches 6\n"
     "stages 0 1 2\n"
     "rank 0: F0 F1 F2 F3 F4 B0 W0 F5 B1 W1 B2 W2 B3 W3 B4 W4 B5 W5\n"
     "rank 1: F0 F1 F2 B0 F3 B1 F4 B2 W0 F5 B3 W1 B4 W2 B5 W3 W4 W5\n"
     "rank 2: F0 B0 F1 B1 F2 B2 F3 B3 F4 B4 W0 F5 B5 W1 W2 W3 W4 W5\n"},
    {"zb-v",
     {.ranks = 2, .microbatches = 4},
     "schedule zb-v\n"
     "microbatches 4\n"
     "stages 0 1 1 0\n"
     "rank 0: F0.0 F1.0 F2.0 F0.1 B0.1 W0.1 F1.1 B1.1 W1.1 F3.0 B0.0 W0.0 F2.1 B2.1 "
     "W2.1 B1.0 W1.0 F3.1 B3.1 W3.1 B2.0 W2.0 B3.0 W3.0\n"
     "rank 1: F0.0 F0.1 F1.0 F1.1 B0.1 W0.1 F2.0 B0.0 W0.0 F2.1 B1.1 W1.1 F3.0 B1.0 "
     "W1.0 F3.1 B2.1 W2.1 B2.0 B3.1 B3.0 W2.0 W3.1 W3.0\n"},
    {"v-half",
     {.ranks = 2, .microbatches = 4},
     "schedule v-half\n"
     "microbatches 4\n"
     "stages 0 1 1 0\n"
     "rank 0: F0.0 F1.0 F2.0 F0.1 B0.1 F1.1 W0.1 B0.0 F3.0 W0.0 B1.1 F2.1 B2.1 W1.1 "
     "B1.0 W2.1 F3.1 B3.1 B2.0 W1.0 B3.0 W3.1 W2.0 W3.0\n"
     "rank 1: F0.0 F0.1 F1.0 F1.1 B0.1 B0.0 W0.1 W0.0 F2.0 F2.1 F3.0 B1.1 B1.0 W1.1 "
     "F3.1 B2.1 B2.0 B3.1 B3.0 W1.0 W2.1 W2.0 W3.1 W3.0\n"},
    {"v-min",
     {.ranks = 3, .microbatches = 4},
     "schedule v-min\n"
     "microbatches 4\n"
     "stages 0 1 2 2 1 0\n"
     "rank 0: F0.0 F1.0 F0.1 B0.1 F1.1 W0.1 F2.0 B0.0 W0.0 F3.0 B1.1 W1.1 F2.1 B2.1 "
     "B1.0 W2.1 W1.0 F3.1 B3.1 B2.0 W3.1 W2.0 B3.0 W3.0\n"
     "rank 1: F0.0 F1.0 F0.1 F1.1 B0.1 W0.1 B0.0 F2.0 W0.0 B1.1 F2.1 W1.1 B1.0 F3.0 "
     "B2.1 W1.0 F3.1 W2.1 B2.0 B3.1 W2.0 W3.1 B3.0 W3.0\n"
     "rank 2: F0.0 F0.1 F1.0 F1.1 B0.1 B0.0 W0.1 W0.0 F2.0 F2.1 B1.1 B1.0 W1.1 W1.0 "
     "F3.0 F3.1 B2.1 B2.0 W2.1 W2.0 B3.1 B3.0 W3.1 W3.0\n"},
    {"chimera",
     {.ranks = 4, .microbatches = 4},
     "schedule chimera\n"
     "microbatches 4\n"
     "stages 0 1 2 3\n"
     "stages 3 2 1 0\n"
     "rank 0: F0.0 F1.0 F2.1 BW2.1 F3.1 BW3.1 BW0.0 BW1.0\n"
     "rank 1: F0.0 F2.1 F1.0 F3.1 BW2.1 BW0.0 BW3.1 BW1.0\n"
     "rank 2: F2.1 F0.0 F3.1 F1.0 BW0.0 BW2.1 BW1.0 BW3.1\n"
     "rank 3: F2.1 F3.1 F0.0 BW0.0 F1.0 BW1.0 BW2.1 BW3.1\n"},
    {"hanayo",
     {.ranks = 2, .microbatches = 3, .waves = 2},
     "schedule hanayo\n"
     "microbatches 3\n"
     "stages 0 1 1 0 0 1 1 0\n"
     "rank 0: F0.0 F1.0 F2.0 F0.1 F0.2 F1.1 F1.2 F0.3 BW0.3 F1.3 BW1.3 BW0.2 BW0.1 "
     "BW1.2 BW1.1 BW0.0 BW1.0 F2.1 F2.2 F2.3 BW2.3 BW2.2 BW2.1 BW2.0\n"
     "rank 1: F0.0 F0.1 F1.0 F1.1 F0.2 F0.3 F1.2 F1.3 BW0.3 BW0.2 BW1.3 BW1.2 BW0.1 "
     "BW0.0 BW1.1 BW1.0 F2.0 F2.1 F2.2 F2.3 BW2.3 BW2.2 BW2.1 BW2.0\n"},
};

TEST(GoldenTest, EveryGenerator) {
  ASSERT_EQ(std::size(kGoldens), generator_names().size());
  for (const Golden& golden : kGoldens) {
    EXPECT_EQ(str(generate(golden.name, golden.shape)), golden.text);
    EXPECT_EQ(str(parse(golden.text)), golden.text);
  }
}

TEST(GoldenTest, BufferedMessagesStandBeforeTheirUse) {
  EXPECT_EQ(str(add_messages(one_f_one_b(2, 3))),
            "schedule 1f1b\n"
            "microbatches 3\n"
            "stages 0 1\n"
            "rank 0: F0 SA0>1 F1 SA1>1 RG0<1 BW0 F2 SA2>1 RG1<1 BW1 RG2<1 BW2\n"
            "rank 1: RA0<0 F0 BW0 SG0>0 RA1<0 F1 BW1 SG1>0 RA2<0 F2 BW2 SG2>0\n");
}

TEST(GoldenTest, RendezvousMessagesStandInOneOrderOnAllRanks) {
  EXPECT_EQ(str(add_messages(one_f_one_b(2, 3), Sends::kRendezvous)),
            "schedule 1f1b\n"
            "microbatches 3\n"
            "stages 0 1\n"
            "rank 0: F0 SA0>1 F1 SA1>1 RG0<1 BW0 F2 SA2>1 RG1<1 BW1 RG2<1 BW2\n"
            "rank 1: RA0<0 F0 RA1<0 BW0 SG0>0 F1 BW1 RA2<0 SG1>0 F2 BW2 SG2>0\n");
}

TEST(GoldenTest, MessagesAndUpdateOfChimera) {
  EXPECT_EQ(str(add_messages(add_update(chimera(2, 2)))),
            "schedule chimera\n"
            "microbatches 2\n"
            "stages 0 1\n"
            "stages 1 0\n"
            "rank 0: F0.0 SA0.0>1 RA1.1<0 F1.1 BW1.1 SG1.1>0 reduce.1 RG0.0<1 BW0.0 reduce.0 "
            "step\n"
            "rank 1: F1.1 SA1.1>1 RA0.0<0 F0.0 BW0.0 SG0.0>0 reduce.0 RG1.1<1 BW1.1 reduce.1 "
            "step\n");
}

TEST(GeneratorsTest, RefuseShapesThatDoNotFitAndNameThoseThatDo) {
  const auto error = [](const char* name, const Shape& shape) {
    return error_of([&] { generate(name, shape); });
  };
  EXPECT_EQ(error("1f2b", {}), "schedule: there is no '1f2b'; did you mean 1f1b?");
  EXPECT_EQ(error("x", {}),
            "schedule: there is no 'x'; there are gpipe, 1f1b, interleaved, zb-h1, zb-h2, zb-v, "
            "v-half, v-min, chimera, hanayo");
  EXPECT_EQ(error("gpipe", {.ranks = 0}), "schedule gpipe: 0 ranks, at least 1 is needed");
  EXPECT_EQ(error("gpipe", {.microbatches = 0}),
            "schedule gpipe: 0 microbatches, at least 1 is needed");
  EXPECT_EQ(error("interleaved", {.ranks = 4, .microbatches = 6}),
            "schedule interleaved: 6 microbatches are no multiple of 4 ranks; 4 or 8 are");
  EXPECT_EQ(error("interleaved", {.ranks = 4, .microbatches = 1}),
            "schedule interleaved: 1 microbatches are no multiple of 4 ranks; 4 are");
  EXPECT_EQ(error("chimera", {.ranks = 4, .microbatches = 1}),
            "schedule chimera: 1 microbatches do not halve over two directions; 2 do");
  EXPECT_EQ(error("interleaved", {.ranks = 4, .microbatches = 8, .chunks = 1}),
            "schedule interleaved: 1 chunks a rank, at least 2 are needed");
  EXPECT_EQ(error("chimera", {.ranks = 3, .microbatches = 4}),
            "schedule chimera: 3 ranks do not pair up in two directions; 2 or 4 do");
  EXPECT_EQ(error("chimera", {.ranks = 4, .microbatches = 5}),
            "schedule chimera: 5 microbatches do not halve over two directions; 4 or 6 do");
  EXPECT_EQ(error("hanayo", {.ranks = 4, .microbatches = 4, .waves = 0}),
            "schedule hanayo: 0 waves, at least 1 is needed");
}

}  // namespace
}  // namespace ashlar::schedule
