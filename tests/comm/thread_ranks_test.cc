#include "ashlar/comm/thread_ranks.h"

#include "ashlar/base/clock.h"
#include "tests/base/messages.h"
#include "tests/comm/case_data.h"
#include "tests/comm/collective_cases.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <time.h>

#include <atomic>
#include <chrono>
#include <thread>

namespace ashlar::comm {
namespace {

using ::ashlar::testing::error_of;
using testing::CollectiveCase;

std::span<float> all(std::vector<float>& v) { return v; }

double seconds_of(const std::function<void()>& f) {
  const SteadyClock clock;
  const double start = clock.now();
  f();
  return clock.now() - start;
}

class Collectives : public ::testing::TestWithParam<std::tuple<CollectiveCase, int>> {};

TEST_P(Collectives, EqualTheSerialResult) {
  const auto& [collective, ranks] = GetParam();
  EXPECT_EQ(error_of([&] { run_ranks(ranks, collective.run, {.timeout_s = 60}); }), "(no error)");
}

std::string name_of(const ::testing::TestParamInfo<Collectives::ParamType>& test) {
  const auto& [collective, ranks] = test.param;
  return fmt::format("{}On{}", collective.name, ranks);
}
INSTANTIATE_TEST_SUITE_P(Threads, Collectives,
                         ::testing::Combine(::testing::ValuesIn(testing::collective_cases()),
                                            ::testing::Range(1, 9)),
                         name_of);

TEST(ThreadRanks, EachKnowsItsPlace) {
  std::vector<int> seen(5, -1);
  run_ranks(5, [&](Communicator& comm) {
    seen[static_cast<size_t>(comm.rank())] = comm.size();
    EXPECT_EQ(comm.world().index, comm.rank());
  });
  EXPECT_THAT(seen, ::testing::Each(5));
}

TEST(ThreadRanks, NoneLeavesABarrierBeforeAllCame) {
  std::atomic<int> came = 0;
  run_ranks(6, [&](Communicator& comm) {
    for (int round = 1; round <= 20; ++round) {
      ++came;
      comm.barrier(comm.world(), "barrier");
      EXPECT_GE(came.load(), 6 * round);
      comm.barrier(comm.world(), "so that none runs ahead");
    }
  });
}

TEST(ThreadRanks, ARankThatThrowsEndsTheOthersWhereverTheyAre) {
  std::atomic<int> ended = 0;
  const double seconds = seconds_of([&] {
    EXPECT_EQ(error_of([&] {
                run_ranks(4, [&](Communicator& comm) {
                  std::vector<float> data(10);
                  if (comm.rank() == 2) fail("out of tokens");
                  try {
                    if (comm.rank() == 3)  // computing, and now and then polling
                      while (true) comm.poll();
                    comm.all_reduce(comm.world(), Reduce::kSum, buffer(all(data)), "layers.0");
                  } catch (const Error& error) {
                    EXPECT_STREQ(error.what(), "rank 2 failed: out of tokens");
                    ++ended;
                    throw;
                  }
                });
              }),
              "rank 2: out of tokens");
  });
  EXPECT_EQ(ended, 3);
  EXPECT_LT(seconds, 5);  // not the timeout of 600
}

TEST(ThreadRanks, ErrorsKeepTheirExitCodeAndOthersTheirText) {
  try {
    run_ranks(2, [](Communicator& comm) {
      if (comm.rank() == 1) fail_usage("mesh.data: 3 is not 2");
    });
    FAIL() << "nothing thrown";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "rank 1: mesh.data: 3 is not 2");
    EXPECT_EQ(error.exit_code(), 2);
  }
  EXPECT_EQ(error_of([] {
              run_ranks(2, [](Communicator& comm) {
                if (comm.rank() == 0) throw std::length_error("too long");
              });
            }),
            "rank 0: too long");
  EXPECT_EQ(error_of([] { run_ranks(1, [](Communicator&) { throw 5; }); }),
            "rank 0: threw something that is no std::exception");
  EXPECT_EQ(error_of([] { run_ranks(0, [](Communicator&) {}); }), "ranks: 0 is not positive");
}

// A rank that is busy elsewhere. It ends only once another's failure is known: had it ended before,
// a third that waits for it would rightly say so instead.
[[noreturn]] void compute_until_the_job_fails(Communicator& comm) {
  for (;; std::this_thread::sleep_for(std::chrono::milliseconds(1))) comm.poll();
}

TEST(ThreadRanks, ARankThatNeverComesIsNamed) {
  const std::string message = error_of([&] {
    run_ranks(3,
              [&](Communicator& comm) {
                if (comm.rank() == 1) compute_until_the_job_fails(comm);
                std::vector<float> data(10);
                comm.all_reduce(group_along(Mesh({{"data", 3}}), comm.rank(), {"data"}),
                                Reduce::kSum, buffer(all(data)), "layers.3.mlp");
              },
              {.timeout_s = 0.3});
  });
  EXPECT_THAT(message,
              ::testing::MatchesRegex(
                  "rank [02]: all_reduce 'layers.3.mlp' on axis data waited 0.3 s for .*rank 1; "
                  "rank 1 waits for nobody: it is lost, or slower than comm.timeout"));
}

// Rank 0 waits for 1, which waits for 2, which is busy: it is 2 that is named.
TEST(ThreadRanks, TheRankAtTheEndOfAChainOfWaitsIsNamed) {
  const std::string message = error_of([&] {
    run_ranks(3,
              [&](Communicator& comm) {
                if (comm.rank() == 2) compute_until_the_job_fails(comm);
                std::vector<float> data(10);
                comm.recv(comm.world(), comm.rank() + 1, 0, buffer(all(data)), "boundary");
              },
              {.timeout_s = 0.3});
  });
  const std::string end =
      "rank 2; rank 2 waits for nobody: it is lost, or slower than comm.timeout";
  EXPECT_THAT(message, ::testing::AnyOf(
                           "rank 0: recv 'boundary' on axis world waited 0.3 s for rank 1, which "
                           "waits in recv 'boundary' on axis world for " +
                               end,
                           "rank 1: recv 'boundary' on axis world waited 0.3 s for " + end));
}

TEST(ThreadRanks, RanksThatWaitForEachOtherAreToldSo) {
  const std::string message = error_of([&] {
    run_ranks(2,
              [&](Communicator& comm) {
                std::vector<float> data(10);
                if (comm.rank() == 0)
                  comm.recv(comm.world(), 1, 0, buffer(all(data)), "boundary");
                else
                  comm.all_reduce(comm.world(), Reduce::kSum, buffer(all(data)), "layers.3.mlp");
              },
              {.timeout_s = 0.3});
  });
  const std::string recv = "recv 'boundary' on axis world",
                    all_reduce = "all_reduce 'layers.3.mlp' on axis world",
                    end = ": they wait for each other, so their operations differ in order";
  EXPECT_THAT(message,
              ::testing::AnyOf("rank 0: " + recv + " waited 0.3 s for rank 1, which waits in " +
                                   all_reduce + " for rank 0" + end,
                               "rank 1: " + all_reduce +
                                   " waited 0.3 s for rank 0, which "
                                   "waits in " +
                                   recv + " for rank 1" + end));
}

TEST(ThreadRanks, ARankThatEndedIsNotWaitedFor) {
  const double seconds = seconds_of([&] {
    EXPECT_EQ(error_of([&] {
                run_ranks(2, [&](Communicator& comm) {
                  std::vector<float> data(10);
                  if (comm.rank() == 0)
                    comm.recv(comm.world(), 1, 0, buffer(all(data)), "boundary");
                });
              }),
              "rank 0: recv 'boundary' on axis world: rank 1 ended without sending");
    EXPECT_EQ(error_of([&] {
                run_ranks(2, [&](Communicator& comm) {
                  std::vector<float> data(10);
                  if (comm.rank() == 0)
                    comm.send(comm.world(), 1, 0, buffer(all(data)), "boundary");
                });
              }),
              "rank 0: send 'boundary' on axis world: rank 1 ended without receiving it");
  });
  EXPECT_LT(seconds, 5);
}

TEST(ThreadRanks, RanksThatDisagreeHearOfIt) {
  EXPECT_THAT(error_of([&] {
                run_ranks(2, [&](Communicator& comm) {
                  std::vector<float> data(comm.rank() == 0 ? 10 : 20);
                  comm.broadcast(comm.world(), 0, buffer(all(data)), "weights");
                });
              }),
              ::testing::HasSubstr("broadcast 'weights' on axis world: rank 0 sends 40 bytes in "
                                   "broadcast 'weights' on axis world, wanted 80"));
}

// What one rank alone can be told before anything is sent.
std::string complaint(const std::function<void(Communicator&, std::vector<float>&)>& f) {
  return error_of([&] {
    run_ranks(1, [&](Communicator& comm) {
      std::vector<float> data(4);
      f(comm, data);
    });
  });
}

TEST(ThreadRanks, WrongArgumentsAreRefused) {
  using Counts = std::vector<int64_t>;
  EXPECT_EQ(complaint([](Communicator& comm, std::vector<float>& data) {
              comm.all_gather(comm.world(), buffer(all(data)), Counts{3}, buffer(all(data)), "x");
            }),
            "rank 0: all_gather 'x' on axis world: in has 4 elements, the counts say 3");
  EXPECT_EQ(
      complaint([](Communicator& comm, std::vector<float>& data) {
        comm.all_gather(comm.world(), buffer(all(data)), Counts{2, 2}, buffer(all(data)), "x");
      }),
      "rank 0: all_gather 'x' on axis world: 2 counts for 1 ranks");
  EXPECT_EQ(complaint([](Communicator& comm, std::vector<float>& data) {
              comm.broadcast(comm.world(), 1, buffer(all(data)), "x");
            }),
            "rank 0: broadcast 'x' on axis world: root 1 is not in [0, 1)");
  EXPECT_EQ(complaint([](Communicator& comm, std::vector<float>& data) {
              comm.send(comm.world(), 0, 0, buffer(all(data)), "x");
            }),
            "rank 0: send 'x' on axis world: the other rank is 0: it must be in [0, 1) and not "
            "this one, 0");
  EXPECT_EQ(complaint([](Communicator& comm, std::vector<float>& data) {
              comm.all_reduce({"data", {1}, 0}, Reduce::kSum, buffer(all(data)), "x");
            }),
            "rank 0: all_reduce 'x' on axis data: rank 0 is not member 0 of the group: make the "
            "group on this rank");
  EXPECT_EQ(
      complaint([](Communicator& comm, std::vector<float>&) {
        std::vector<uint8_t> bytes(4);
        comm.all_reduce(comm.world(), Reduce::kSum, buffer(std::span(bytes)), "x");
      }),
      "rank 0: reduce: u8 cannot be reduced between ranks: use f64, f32, bf16, f16, i64 or i32");
  EXPECT_EQ(error_of([] { run_ranks(1, [](Communicator&) {}, {.timeout_s = 0}); }),
            "rank 0: comm.timeout: 0 is not positive");
}

TEST(ThreadRanks, CountersKeepAxesAndOpsApart) {
  run_ranks(4, [](Communicator& comm) {
    const Mesh mesh({{"data", 2}, {"tensor", 2}});
    const Group data = group_along(mesh, comm.rank(), {"data"});
    const Group tensor = group_along(mesh, comm.rank(), {"tensor"});
    std::vector<float> x(8);
    comm.all_reduce(data, Reduce::kSum, buffer(all(x)), "a");
    comm.all_reduce(tensor, Reduce::kMax, buffer(all(x).first(4)), "b");
    comm.broadcast(tensor, 0, buffer(all(x)), "c");
    const int64_t down = tensor.index == 0 ? 32 : 0;
    EXPECT_EQ(comm.counters().of("data", CommOp::kAllReduce).bytes, 32);
    EXPECT_EQ(comm.counters().of("tensor", CommOp::kAllReduce).bytes, 16);
    EXPECT_EQ(comm.counters().of("tensor", CommOp::kBroadcast).bytes, down);
    EXPECT_EQ(comm.counters().of("pipe", CommOp::kSend).bytes, 0);
    EXPECT_EQ(comm.counters().axis("tensor").bytes, 16 + down);
    EXPECT_EQ(comm.counters().total().bytes, 48 + down);
    EXPECT_EQ(comm.counters().of("data", CommOp::kAllReduce).messages, 2);
    comm.reset_counters();
    EXPECT_EQ(comm.counters().total().bytes, 0);
    EXPECT_EQ(comm.counters().total().messages, 0);
  });
}

TEST(ThreadRanks, TimeSpentWaitingIsCounted) {
  run_ranks(2, [](Communicator& comm) {
    std::vector<float> x(8);
    if (comm.rank() == 1) std::this_thread::sleep_for(std::chrono::milliseconds(100));
    comm.all_reduce(comm.world(), Reduce::kSum, buffer(all(x)), "a");
    const double waited = comm.counters().of("world", CommOp::kAllReduce).seconds_waited;
    if (comm.rank() == 0) {
      EXPECT_GE(waited, 0.08);
      EXPECT_LT(waited, 30);
    }
  });
}

TEST(ThreadRanks, ASleepingWaitUsesNoProcessorTime) {
  run_ranks(2, [](Communicator& comm) {
    const auto cpu = [] {
      timespec t{};
      clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
      return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
    };
    const double before = cpu();
    if (comm.rank() == 1) std::this_thread::sleep_for(std::chrono::milliseconds(200));
    comm.barrier(comm.world(), "late");
    EXPECT_LT(cpu() - before, 0.1);
  });
}

}  // namespace
}  // namespace ashlar::comm
