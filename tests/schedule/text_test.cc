#include "ashlar/schedule/text.h"

#include "ashlar/base/philox.h"
#include "ashlar/schedule/communication.h"
#include "ashlar/schedule/generators.h"
#include "tests/base/messages.h"

#include <gtest/gtest.h>

#include <string>

namespace ashlar::schedule {
namespace {

using ashlar::testing::error_of;

constexpr const char* kHeader = "schedule mine\nmicrobatches 2\nstages 0 1 1 0\n";

TEST(TextTest, EveryInstructionGoesThereAndBack) {
  const std::string text =
      "schedule every kind\n"
      "microbatches 2\n"
      "stages 0 1\n"
      "stages 1 0\n"
      "rank 0: gather.0 F0.0 SA0.0>1 evict0.0 evict.1 load0.0 load.1 RG0.0<1 B0.0 W0.0 reduce.0 "
      "step\n"
      "rank 1: gather.1 RA0.1<0 F0.1 BW0.1 SG0.1>0 reduce.1 step\n";
  const Schedule schedule = parse(text);
  EXPECT_EQ(str(schedule), text);
  EXPECT_EQ(schedule.name, "every kind");
  EXPECT_EQ(schedule.ranks[0][2], (Instruction{Kind::kSendActivation, 0, 0, 1}));
  EXPECT_EQ(schedule.ranks[0][3], (Instruction{Kind::kEvict, 0, 0}));
  EXPECT_EQ(schedule.ranks[0][4], (Instruction{Kind::kEvict, -1, 1}));
  EXPECT_EQ(schedule.ranks[1][4], (Instruction{Kind::kSendGradient, 0, 1, 0}));
}

TEST(TextTest, CommentsSpacesAndBlankLinesDoNotMatter) {
  const Schedule schedule = parse(
      "# by hand\n\nschedule  mine # so it is called\r\n  microbatches 1\n\tstages 0\n"
      "rank 0:  F0   BW0.0 # a chunk may be named where there is one\n\n");
  EXPECT_EQ(str(schedule), "schedule mine\nmicrobatches 1\nstages 0\nrank 0: F0 BW0\n");
}

std::string error(const std::string& text) {
  return error_of([&] { parse(text, "my.txt"); });
}

TEST(TextTest, ErrorsNameLineAndColumn) {
  const std::string header = kHeader;
  EXPECT_EQ(error(header + "rank 0: F0.0 X1\n"),
            "my.txt:4:14: 'X1' is no instruction; they are F B W BW SA RA SG RG gather reduce "
            "evict load step");
  EXPECT_EQ(error(header + "rank 0: F\n"), "my.txt:4:9: 'F': the microbatch is missing, as in F0");
  EXPECT_EQ(error(header + "rank 0: F0.\n"), "my.txt:4:9: '' is no chunk");
  EXPECT_EQ(error(header + "rank 0: F0,1\n"), "my.txt:4:9: 'F0,1': ',1' is not understood");
  EXPECT_EQ(error(header + "rank 0: SA0.1\n"),
            "my.txt:4:9: 'SA0.1': the peer stage is missing, as in SA0>1");
  EXPECT_EQ(error(header + "rank 0: RA0.1>2\n"),
            "my.txt:4:9: 'RA0.1>2': the peer stage is missing, as in RA0<1");
  EXPECT_EQ(error(header + "rank 0: step0\n"), "my.txt:4:9: 'step0': step has no microbatch");
  EXPECT_EQ(error(header + "rank 0: F99999999999\n"), "my.txt:4:9: '99999999999' is no microbatch");
  EXPECT_EQ(error(header + "rank 1: F0.0\n"), "my.txt:4:6: rank 1 stands where rank 0 should");
  EXPECT_EQ(error(header + "rank 0 F0.0\n"), "my.txt:4:6: '0': a ':' must follow the rank");
  EXPECT_EQ(error(header + "rank\n"), "my.txt:4:1: the rank's number is missing");
  EXPECT_EQ(error(header + "ranks 0: F0\n"),
            "my.txt:4:1: 'ranks' begins no line; schedule, microbatches, stages, rank do");
  EXPECT_EQ(error(header + "schedule again\n"), "my.txt:4:1: a second line 'schedule'");
  EXPECT_EQ(error(header + "microbatches 3\n"), "my.txt:4:1: a second line 'microbatches'");
  EXPECT_EQ(error("schedule\n"), "my.txt:1:1: the schedule's name is missing");
  EXPECT_EQ(error("microbatches two\n"), "my.txt:1:14: 'two' is no count");
  EXPECT_EQ(error("microbatches 0\n"), "my.txt:1:14: at least 1 microbatch is needed");
  EXPECT_EQ(error("stages 0 -1\n"), "my.txt:1:10: '-1' is no rank");
  EXPECT_EQ(error("stages\n"), "my.txt:1:1: the rank of each stage is missing");
}

// Whatever a slip of the keyboard makes of it, a text is refused or means what it prints.
TEST(TextTest, DamagedTextIsRefusedOrGoesThereAndBack) {
  const std::string whole =
      str(add_messages(add_update(zb_v(3, 4)))) + str(add_messages(chimera(2, 2)));
  const std::string texts[] = {str(add_messages(add_update(zb_v(3, 4)))),
                               str(add_messages(add_update(chimera(2, 4))))};
  const RandomStream stream(3, "damaged text");
  uint64_t next = 0;
  int refused = 0, accepted = 0;
  for (int round = 0; round < 4000; ++round) {
    std::string text = texts[round % 2];
    const auto at = static_cast<size_t>(stream.below(next++, text.size()));
    const char other = whole[static_cast<size_t>(stream.below(next++, whole.size()))];
    switch (stream.below(next++, 3)) {
      case 0:
        text.erase(at, 1);
        break;
      case 1:
        text[at] = other;
        break;
      default:
        text.insert(at, 1, other);
    }
    const std::string message = error_of([&] { EXPECT_EQ(parse(str(parse(text))), parse(text)); });
    ++(message == "(no error)" ? accepted : refused);
  }
  EXPECT_GT(refused, 1000);
  EXPECT_GT(accepted, 500);
}

TEST(TextTest, ErrorsNameWhatTheWholeLacks) {
  EXPECT_EQ(error(""), "my.txt: no line 'schedule NAME'");
  EXPECT_EQ(error("schedule x\n"), "my.txt: no line 'microbatches COUNT'");
  EXPECT_EQ(error("schedule x\nmicrobatches 1\n"), "my.txt: no line 'stages RANK RANK ...'");
  const std::string header = kHeader;
  EXPECT_EQ(error(header + "rank 0:\n"),
            "my.txt: 1 lines 'rank N: ...', but stages are on 2 ranks");
  EXPECT_EQ(error("schedule x\nmicrobatches 1\nstages 0 2\n"),
            "stages: rank 2 has a stage, but there are only 2 stages in all");
  EXPECT_EQ(error("schedule x\nmicrobatches 1\nstages 0 2 2\n"),
            "stages: rank 1 has none, ranks up to 2 have some");
  EXPECT_EQ(error("schedule x\nmicrobatches 1\nstages 0 1\nstages 0\n"),
            "stages: one replica has 2 stages, another 1");
  EXPECT_EQ(error("schedule x\nmicrobatches 65537\nstages 0\nrank 0:\n"),
            "schedule x: 65537 microbatches, at most 65536 fit");
}

}  // namespace
}  // namespace ashlar::schedule
