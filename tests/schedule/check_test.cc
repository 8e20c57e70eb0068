#include "ashlar/schedule/check.h"

#include "ashlar/schedule/text.h"
#include "tests/base/messages.h"

#include <gtest/gtest.h>

#include <string>

namespace ashlar::schedule {
namespace {

using ashlar::testing::error_of;

// The error of a schedule of two stages on two ranks, without its "schedule x" at the front.
std::string error(const std::string& ranks, Sends sends = Sends::kBuffered,
                  const std::string& stages = "stages 0 1\n") {
  const Schedule schedule = parse("schedule x\nmicrobatches 2\n" + stages + ranks);
  const std::string message = error_of([&] { check(schedule, sends); });
  return message.starts_with("schedule x") ? message.substr(10) : message;
}

TEST(CheckTest, AcceptsWhatIsRight) {
  EXPECT_EQ(error("rank 0: F0 F1 BW0 BW1\nrank 1: F0 BW0 F1 BW1\n"), "(no error)");
  EXPECT_EQ(error("rank 0: F0 F1 B0 W0 BW1\nrank 1: F0 F1 B0 B1 W1 W0\n"), "(no error)");
}

TEST(CheckTest, EachPartExactlyOnceAndInOrder) {
  EXPECT_EQ(error("rank 0: F0 F1 BW0 BW1\nrank 1: F0 BW0 F1 B1\n"),
            ": rank 1: microbatch 1 has no weight gradient on chunk 0 (stage 1)");
  EXPECT_EQ(error("rank 0: F0 BW0\nrank 1: F0 BW0\n"), ": microbatch 1 of 2 is on no rank");
  EXPECT_EQ(error("rank 0: F0 F1 F0 BW0 BW1\nrank 1: F0 BW0 F1 BW1\n"),
            ": rank 0, instruction 2 (F0): the forward of microbatch 0 on chunk 0 ran at "
            "instruction 0 already");
  EXPECT_EQ(error("rank 0: F0 F1 BW0 W0 BW1\nrank 1: F0 BW0 F1 BW1\n"),
            ": rank 0, instruction 3 (W0): the weight gradient of microbatch 0 on chunk 0 ran at "
            "instruction 2 already");
  EXPECT_EQ(error("rank 0: F0 BW1 F1 BW0\nrank 1: F0 BW0 F1 BW1\n"),
            ": rank 0, instruction 1 (BW1): the forward of microbatch 1 on chunk 0 has not run "
            "before it");
  EXPECT_EQ(error("rank 0: F0 F1 W0 B0 BW1\nrank 1: F0 BW0 F1 BW1\n"),
            ": rank 0, instruction 2 (W0): the input gradient of microbatch 0 on chunk 0 has not "
            "run before it");
  EXPECT_EQ(error("rank 0: F0 F2\nrank 1: F0\n"),
            ": rank 0, instruction 1 (F2): there is no microbatch 2, there are 2");
  EXPECT_EQ(error("rank 0: F0 F1.1\nrank 1: F0\n"),
            ": rank 0, instruction 1 (F1.1): there is no chunk 1, the rank has 1");
}

TEST(CheckTest, EverySendHasItsReceive) {
  const std::string good0 = "rank 0: F0 SA0>1 F1 SA1>1 RG0<1 BW0 RG1<1 BW1\n";
  const std::string good1 = "rank 1: RA0<0 F0 BW0 SG0>0 RA1<0 F1 BW1 SG1>0\n";
  EXPECT_EQ(error(good0 + good1), "(no error)");
  EXPECT_EQ(error("rank 0: F0 SA0>1 F1 RG0<1 BW0 RG1<1 BW1\n" + good1),
            ": rank 1, instruction 4 (RA1<0): the activation of microbatch 1 from stage 0 on rank "
            "0 is never sent");
  EXPECT_EQ(error(good0 + "rank 1: RA0<0 F0 BW0 SG0>0 F1 BW1 SG1>0\n"),
            ": rank 1, instruction 4 (F1): the activation of microbatch 1 from stage 0 on rank 0 "
            "has not been received");
  EXPECT_EQ(error("rank 0: F0 SA0>1 F1 SA1>1 RG0<1 BW0 BW1\n" + good1),
            ": rank 0, instruction 6 (BW1): the gradient of microbatch 1 from stage 1 on rank 1 "
            "has not been received");
  EXPECT_EQ(error("rank 0: SA0>1 F0 F1 SA1>1 RG0<1 BW0 RG1<1 BW1\n" + good1),
            ": rank 0, instruction 0 (SA0>1): the forward of microbatch 0 on chunk 0 has not run "
            "before it");
  EXPECT_EQ(error("rank 0: F0 SA0>1 SA0>1\n" + good1),
            ": rank 0, instruction 2 (SA0>1): instruction 1 did that already");
  EXPECT_EQ(error("rank 0: F0 SA0>2\n" + good1),
            ": rank 0, instruction 1 (SA0>2): stage 0 exchanges this with stage 1");
  EXPECT_EQ(error("rank 0: F0 RA0<1\n" + good1),
            ": rank 0, instruction 1 (RA0<1): stage 0 has no neighbour on that side");
  EXPECT_EQ(error("rank 0: F0.0 SA0.0>1\n", Sends::kBuffered, "stages 0 0\n"),
            ": rank 0, instruction 1 (SA0.0>1): stage 1 is on this rank too: no message is needed");
}

TEST(CheckTest, ADeadlockIsFollowedRoundItsCircle) {
  // Rank 0 wants the gradient of 0 first, rank 1 the activation of 1.
  EXPECT_EQ(error("rank 0: F0 BW0 F1 BW1\nrank 1: F1 BW1 F0 BW0\n"),
            " gets stuck: rank 0 waits at instruction 1 (BW0) for the gradient of microbatch 0 "
            "from stage 1 on rank 1; rank 1 waits at instruction 0 (F1) for the activation of "
            "microbatch 1 from stage 0 on rank 0");
}

TEST(CheckTest, RendezvousSendsDeadlockWhereBufferedOnesDoNot) {
  // Steady 1F1B: both ranks send at the same time.
  const std::string ranks =
      "rank 0: F0 SA0>1 F1 SA1>1 RG0<1 BW0 RG1<1 BW1\n"
      "rank 1: RA0<0 F0 BW0 SG0>0 RA1<0 F1 BW1 SG1>0\n";
  EXPECT_EQ(error(ranks), "(no error)");
  EXPECT_EQ(error(ranks, Sends::kRendezvous),
            " gets stuck: rank 0 waits at instruction 3 (SA1>1) for rank 1 to receive it; rank 1 "
            "waits at instruction 3 (SG0>0) for rank 0 to receive it");
}

TEST(CheckTest, AMicrobatchStaysOnItsReplica) {
  EXPECT_EQ(
      error("rank 0: F0.0 F1.0 BW0.1\nrank 1:\n", Sends::kBuffered, "stages 0 1\nstages 1 0\n"),
      ": rank 0, instruction 2 (BW0.1): chunk 1 belongs to replica 1, but microbatch 0 runs "
      "on replica 0 already");
}

TEST(CheckTest, TheUpdateComesLastAndSumsAllReplicas) {
  const auto two = [](const std::string& end0, const std::string& end1) {
    return error(
        "rank 0: F0.0 F1.1 BW1.1 BW0.0" + end0 + "\nrank 1: F1.1 F0.0 BW0.0 BW1.1" + end1 + "\n",
        Sends::kBuffered, "stages 0 1\nstages 1 0\n");
  };
  EXPECT_EQ(two(" reduce.1 reduce.0 step", " reduce.0 reduce.1 step"), "(no error)");
  EXPECT_EQ(two(" reduce.0 reduce.1 step", " reduce.0 reduce.1 step"),
            ": ranks 0 and 1 reduce stages in different orders: 0 is next on one, 1 on the other");
  EXPECT_EQ(two(" reduce.0 reduce.1 step", " reduce.0 reduce.1"),
            ": rank 0 ends with a step, but rank 1 has none");
  EXPECT_EQ(two(" reduce.0 reduce.1 step", " reduce.0 step"),
            ": stage 0 has 2 copies: rank 0 reduces its gradients, rank 1 does not");
  EXPECT_EQ(two(" step", " step"), ": stage 0 has 2 copies, but rank 1 steps without a reduce");
  EXPECT_EQ(two(" reduce.0 reduce.0", ""),
            ": rank 0, instruction 5 (reduce.0): chunk 0 is reduced already");
  EXPECT_EQ(error("rank 0: F0 F1 BW0 step BW1\nrank 1: F0 BW0 F1 BW1 step\n"),
            ": rank 0, instruction 4 (BW1): it stands after the step");
  EXPECT_EQ(error("rank 0: F0 F1 BW0 reduce BW1\nrank 1: F0 BW0 F1 BW1\n"),
            ": rank 0, instruction 4 (BW1): chunk 0 is reduced already, this gradient would be "
            "lost");
}

TEST(CheckTest, WhatWasEvictedMustReturn) {
  const std::string other = "rank 1: F0 BW0 F1 BW1\n";
  EXPECT_EQ(error("rank 0: F0 evict0 F1 load0 BW0 BW1\n" + other), "(no error)");
  EXPECT_EQ(error("rank 0: F0 evict0 F1 BW0 BW1\n" + other),
            ": rank 0, instruction 3 (BW0): what microbatch 0 saved on chunk 0 was evicted and did "
            "not return");
  EXPECT_EQ(error("rank 0: F0 load0 F1 BW0 BW1\n" + other),
            ": rank 0, instruction 1 (load0): what microbatch 0 saved on chunk 0 is here already");
  EXPECT_EQ(error("rank 0: evict0 F0 F1 BW0 BW1\n" + other),
            ": rank 0, instruction 0 (evict0): the forward of microbatch 0 on chunk 0 has not run "
            "before it");
  EXPECT_EQ(error("rank 0: F0 F1 BW0 evict0 BW1\n" + other),
            ": rank 0, instruction 3 (evict0): microbatch 0 is done on chunk 0 and holds nothing");
  EXPECT_EQ(error("rank 0: gather F0 F1 evict gather BW0 BW1 evict\n" + other), "(no error)");
  EXPECT_EQ(error("rank 0: load F0 F1 evict BW0 BW1\n" + other),
            ": rank 0, instruction 4 (BW0): the weights of chunk 0 were evicted and did not "
            "return");
  EXPECT_EQ(error("rank 0: F0 gather F1 BW0 BW1\n" + other),
            ": rank 0, instruction 1 (gather): the weights of chunk 0 are here already");
}

}  // namespace
}  // namespace ashlar::schedule
