// Every schedule, on ranks that are threads, against the run of one process: losses, gradients, 20
// steps of AdamW, and the bytes that the ranks send.
#include "ashlar/runtime/pipeline.h"

#include "ashlar/base/error.h"
#include "ashlar/schedule/communication.h"
#include "ashlar/schedule/generators.h"
#include "ashlar/schedule/text.h"
#include "tests/base/heap_calls.h"
#include "tests/runtime/pipelined_training.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

namespace ashlar::runtime {
namespace {

using schedule::Schedule;
using testing::Arithmetic;
using testing::even_run;
using testing::expect_equal;
using testing::SmallRun;
using testing::TrainedResult;

struct Case {
  std::string name;
  int ranks = 2;
  int microbatches = 4;
  int chunks = 2, waves = 1;
};

Schedule make(const Case& c) {
  if (c.name != "text") {
    return schedule::generate(
        c.name,
        {.ranks = c.ranks, .microbatches = c.microbatches, .chunks = c.chunks, .waves = c.waves});
  }
  // Uneven chunks, and an order of nobody's.
  return schedule::parse(
      "schedule mine\n"
      "microbatches 3\n"
      "stages 0 1 1\n"
      "rank 0: F0 F1 F2 BW0 B1 B2 W2 W1\n"
      "rank 1: F1.0 F0.0 F0.1 BW0.1 F1.1 B0.0 W0.0 BW1.1 F2.0 F2.1 BW1.0 B2.1 B2.0 W2.0 W2.1\n");
}

void PrintTo(const Case& c, std::ostream* out) {
  *out << fmt::format("{}, {} ranks, {} microbatches, {} waves", c.name, c.ranks, c.microbatches,
                      c.waves);
}

class PipelineTest : public ::testing::TestWithParam<Case> {};

TEST_P(PipelineTest, EqualsOneProcessInDouble) {
  const Schedule schedule = make(GetParam());
  const SmallRun run = even_run(schedule, {3, 2});
  const auto found = testing::train_pipelined(run, schedule, Arithmetic::kDouble);
  expect_equal(found.trained, testing::train_in_double(run), 1e-10);
}

TEST_P(PipelineTest, EqualsOneProcessWithKernels) {
  const Schedule schedule = make(GetParam());
  const SmallRun run = even_run(schedule, {5, 4});
  const auto found = testing::train_pipelined(run, schedule, Arithmetic::kKernels);
  const TrainedResult wanted = testing::train_with_kernels(run);
  expect_equal(found.trained, wanted, 1e-5);
  // Of one replica microbatches are added in the order of one process, so to its bits.
  if (schedule.stages.replicas() == 1 && GetParam().name != "text") {
    EXPECT_EQ(found.trained.gradients, wanted.gradients);
    EXPECT_EQ(found.trained.losses[0], wanted.losses[0]);
    EXPECT_EQ(found.copies, 0);
  } else if (GetParam().name == "chimera") {
    EXPECT_EQ(found.copies, static_cast<int>(wanted.variables.size()));
  }
  EXPECT_TRUE(found.copies_equal);
}

// Activations one way, gradients the other: m b s h 4 bytes for each border between two ranks.
TEST_P(PipelineTest, SendsWhatCrossesBorders) {
  const Schedule schedule = make(GetParam());
  SmallRun run = even_run(schedule, {5, 4});
  run.steps = 2;
  const auto found = testing::train_pipelined(run, schedule, Arithmetic::kKernels);
  const schedule::StageMap& map = schedule.stages;
  int64_t borders = 0;  // summed over microbatches
  for (int replica = 0; replica < map.replicas(); ++replica) {
    const int microbatches = schedule.microbatches / map.replicas();
    for (int stage = 0; stage + 1 < map.stages(); ++stage) {
      if (map.rank(replica, stage) != map.rank(replica, stage + 1)) borders += microbatches;
    }
  }
  const int64_t activation = 9 * run.model.width * 4;
  int64_t bytes = 0, messages = 0;
  for (const comm::Traffic& sent : found.sent) {
    bytes += sent.bytes;
    messages += sent.messages;
  }
  EXPECT_EQ(bytes, run.steps * 2 * borders * activation);
  EXPECT_EQ(messages, run.steps * 2 * borders);
}

INSTANTIATE_TEST_SUITE_P(
    Schedules, PipelineTest,
    ::testing::Values(Case{"gpipe", 2}, Case{"gpipe", 4, 5}, Case{"1f1b", 2}, Case{"1f1b", 4, 6},
                      Case{"interleaved", 2}, Case{"interleaved", 4, 8}, Case{"zb-h1", 2},
                      Case{"zb-h1", 4, 6}, Case{"zb-h2", 2}, Case{"zb-h2", 4, 7}, Case{"zb-v", 2},
                      Case{"zb-v", 4, 7}, Case{"v-half", 2}, Case{"v-half", 4, 6}, Case{"v-min", 2},
                      Case{"v-min", 4, 6}, Case{"chimera", 2}, Case{"chimera", 4, 4},
                      Case{"hanayo", 2}, Case{"hanayo", 4, 4}, Case{"hanayo", 2, 4, 2, 2},
                      Case{"hanayo", 4, 4, 2, 2}, Case{"text", 2}),
    [](const auto& test) {
      const Case& c = test.param;
      std::string text = fmt::format("{}_{}_{}", c.name, c.ranks, c.waves);
      std::ranges::replace(text, '-', '_');
      return text;
    });

// Messages in one order of time, as an unbuffered transport needs them: receives stand long before
// their use, and more buffers are taken.
TEST(PipelineMessages, MayStandEarly) {
  for (const char* name : {"1f1b", "interleaved", "zb-v", "chimera"}) {
    const Schedule schedule = schedule::generate(name, {.ranks = 4, .microbatches = 8});
    SmallRun run = even_run(schedule, {5, 4});
    run.steps = 3;
    const auto buffered = testing::train_pipelined(run, schedule, Arithmetic::kKernels);
    const auto early = testing::train_pipelined(
        run, schedule::add_messages(schedule, schedule::Sends::kRendezvous), Arithmetic::kKernels);
    EXPECT_EQ(early.trained.losses, buffered.trained.losses) << name;
    EXPECT_EQ(early.trained.variables, buffered.trained.variables) << name;
  }
}

int64_t sent_bytes(const Schedule& schedule) {
  SmallRun run = even_run(schedule, {6});
  run.steps = 1;
  int64_t bytes = 0;
  for (const auto& sent : testing::train_pipelined(run, schedule, Arithmetic::kKernels).sent) {
    bytes += sent.bytes;
  }
  return bytes;
}

// PP5, PP12: against 1F1B an interleaved schedule of v chunks has v p - 1 borders instead of p - 1,
// a V twice p - 1.
TEST(PipelineBytes, GrowWithTheBorders) {
  const int64_t plain = sent_bytes(schedule::one_f_one_b(4, 8));
  EXPECT_EQ(plain, 8 * 2 * 3 * 6 * 8 * 4);
  EXPECT_EQ(sent_bytes(schedule::interleaved(4, 8, 2)) * 3, plain * 7);
  EXPECT_EQ(sent_bytes(schedule::zb_v(4, 8)), 2 * plain);
  EXPECT_EQ(sent_bytes(schedule::v_half(4, 8)), 2 * plain);
  EXPECT_EQ(sent_bytes(schedule::chimera(4, 8)), plain);
}

// Slots that the chunks of a rank share are as many as the methods' papers say it holds, counted in
// chunks: PP1, PP4, PP5, PP6, PP7, PP11, PP12.
TEST(PipelineSlots, AreThePeaksOfTheMethods) {
  const auto held = [](const Schedule& schedule, int rank) {
    return schedule::assign_slots(schedule, schedule::SlotPool::kRank)
        .chunks[static_cast<size_t>(rank)][0];
  };
  using Slots = schedule::ChunkSlots;
  for (const int p : {2, 4}) {
    for (const int m : {2 * p, 4 * p}) {
      for (int i = 0; i < p; ++i) {
        const int ahead = p - i;
        EXPECT_EQ(held(schedule::gpipe(p, m), i), (Slots{m, m}));
        EXPECT_EQ(held(schedule::one_f_one_b(p, m), i), (Slots{ahead, ahead}));
        EXPECT_EQ(held(schedule::zb_h1(p, m), i), (Slots{ahead, p}));
        EXPECT_EQ(held(schedule::zb_h2(p, m), i), (Slots{2 * ahead - 1, 2 * p - 1}));
        EXPECT_EQ(held(schedule::zb_v(p, m), i).until_weight, 2 * p);
        EXPECT_LE(held(schedule::v_half(p, m), i).until_weight, p + 3);
        EXPECT_LE(3 * held(schedule::v_min(p, m), i).until_weight, 2 * (p + 4));
        for (const int waves : {1, 2}) {
          // Its limit, and one more for the oldest microbatch.
          EXPECT_LE(held(schedule::hanayo(p, m, waves), i).until_weight, 2 * waves * p + 1);
        }
        const int chimera = held(schedule::chimera(p, p), i).until_weight;
        EXPECT_GE(chimera, p / 2 + 1 - (p == 2 ? 1 : 0));
        EXPECT_LE(chimera, p);
      }
      for (const int v : {2, 3}) {
        EXPECT_EQ(held(schedule::interleaved(p, m, v), 0).until_weight,
                  std::min(v * p + p - 1, v * m));
      }
    }
  }
}

// Of chunks of one size the pool is smaller, of very uneven ones their own slots are.
TEST(PipelineSlots, TakeTheSmallerOfPoolAndOwn) {
  const Schedule schedule = schedule::interleaved(2, 4, 2);
  std::vector<graph::PlannedPrograms> plans(2);
  for (const int64_t second : {64, 6400}) {
    plans[0].slot_bytes = 64;
    plans[1].slot_bytes = second;
    const RankSlots slots = choose_slots(schedule, 0, plans);
    const auto own = schedule::assign_slots(schedule).chunks[0];
    const int pooled =
        schedule::assign_slots(schedule, schedule::SlotPool::kRank).chunks[0][0].until_backward;
    EXPECT_LT(pooled, own[0].until_backward + own[1].until_backward);
    if (second == 64) {
      EXPECT_EQ(slots.pool, schedule::SlotPool::kRank);
      EXPECT_EQ(slots.bytes, pooled * 64);
    } else {
      EXPECT_EQ(slots.pool, schedule::SlotPool::kChunk);
      EXPECT_EQ(slots.bytes, own[0].until_backward * 64 + own[1].until_backward * 6400);
    }
  }
}

// On every chunk F, B and W run in the order of the microbatches, so that gradients are added in
// the order of one process.
TEST(PipelineOrder, GeneratorsKeepTheOrderOfMicrobatches) {
  for (const std::string& name : schedule::generator_names()) {
    const Schedule schedule =
        schedule::generate(name, {.ranks = 4, .microbatches = 8, .chunks = 2, .waves = 2});
    std::map<std::tuple<int, int, schedule::Kind>, int> last;
    for (int rank = 0; rank < 4; ++rank) {
      for (const schedule::Instruction& each : schedule.ranks[static_cast<size_t>(rank)]) {
        const auto [at, first] = last.try_emplace({rank, each.chunk, each.kind}, -1);
        EXPECT_LT(at->second, each.microbatch) << name << " on rank " << rank;
        at->second = each.microbatch;
      }
    }
  }
}

// Three chunks of one rank, which needs no communicator: nothing of a step's own is allocated.
TEST(PipelineHeap, StepsWithoutIt) {
  if (!testing::counts_heap_calls()) GTEST_SKIP() << "the sanitizer has a malloc of its own";
  SmallRun run;
  run.model = testing::narrow_model(3);
  run.lengths = {{3}, {4}};
  run.steps = 3;
  const Schedule schedule = schedule::parse(
      "schedule mine\nmicrobatches 2\nstages 0 0 0\n"
      "rank 0: F0.0 F0.1 F1.0 F0.2 F1.1 F1.2 BW0.2 BW1.2 BW0.1 B1.1 W1.1 BW0.0 BW1.0\n");
  const auto found = testing::train_pipelined(run, schedule, Arithmetic::kKernels);
  EXPECT_EQ(found.heap_calls, 0);
  expect_equal(found.trained, testing::train_with_kernels(run), 1e-5);
}

template <typename F>
std::string message_of(const F& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(PipelineErrors, SayWhatToDo) {
  const auto run_text = [](const std::string& text, const SmallRun& run) {
    return message_of(
        [&] { testing::train_pipelined(run, schedule::parse(text), Arithmetic::kDouble); });
  };
  SmallRun run;
  run.model = testing::narrow_model(2);
  run.lengths = {{3}};
  run.steps = 1;
  EXPECT_EQ(run_text("schedule mine\nmicrobatches 1\nstages 0 1\nrank 0: F0 evict0 load0 BW0\n"
                     "rank 1: F0 BW0\n",
                     run),
            "rank 0: pipeline: schedule mine: rank 0, instruction 2 (evict0): gather, evict and "
            "load are not there yet; take them out");
  EXPECT_THAT(run_text("schedule mine\nmicrobatches 1\nstages 0 1\nstages 1 0\n"
                       "rank 0: F0.0 BW0.0 reduce.0 reduce.1 step\n"
                       "rank 1: F0.0 BW0.0 reduce.1 reduce.0 step\n",
                       run),
              ::testing::HasSubstr("runs no microbatch, so it has no gradients to add; give each "
                                   "copy of the model at least one"));
  EXPECT_THAT(
      run_text("schedule mine\nmicrobatches 1\nstages 0 1 1 0\nrank 0: F0.0 F0.1 BW0.1 "
               "BW0.0\nrank 1: F0.0 F0.1 BW0.1 BW0.0\n",
               run),
      ::testing::EndsWith(": pipeline: 3 layers do not fill 4 stages; at most 3 stages do"));
}

}  // namespace
}  // namespace ashlar::runtime
