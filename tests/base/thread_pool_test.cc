#include "ashlar/base/thread_pool.h"

#include "ashlar/base/error.h"
#include "tests/base/messages.h"

#include <gtest/gtest.h>

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <iterator>
#include <numeric>
#include <thread>

namespace ashlar {
namespace {

class ThreadPoolTest : public ::testing::TestWithParam<int> {};

INSTANTIATE_TEST_SUITE_P(Threads, ThreadPoolTest, ::testing::Range(1, 9));

// Plain counters: a task run twice at once, or seen too late by the caller, is a data race that the
// thread sanitizer reports.
TEST_P(ThreadPoolTest, RunsEveryTaskOnce) {
  ThreadPool pool(GetParam());
  EXPECT_EQ(pool.threads(), GetParam());
  for (const int64_t tasks : {0, 1, 2, 3, 7, 8, 9, 100, 1000}) {
    std::vector<int> runs(static_cast<size_t>(tasks));
    std::vector<int64_t> per_thread(static_cast<size_t>(GetParam()));
    pool.parallel_for(tasks, [&](int64_t task, int thread) {
      ++runs[static_cast<size_t>(task)];
      ++per_thread[static_cast<size_t>(thread)];
    });
    for (const int count : runs) ASSERT_EQ(count, 1);
    EXPECT_EQ(std::accumulate(per_thread.begin(), per_thread.end(), int64_t{0}), tasks);
  }
}

// A thread goes through its part in ascending order, and through others' in descending order.
TEST_P(ThreadPoolTest, ThreadsGoAlongTheirParts) {
  const int threads = GetParam();
  constexpr int64_t kTasks = 203;
  ThreadPool pool(threads);
  std::vector<std::vector<int64_t>> taken(static_cast<size_t>(threads));
  pool.parallel_for(kTasks, [&](int64_t task, int thread) {
    taken[static_cast<size_t>(thread)].push_back(task);
  });
  std::vector<int64_t> all;
  for (int64_t i = 0; i < threads; ++i) {
    const int64_t begin = kTasks * i / threads, end = kTasks * (i + 1) / threads;
    const std::vector<int64_t>& tasks = taken[static_cast<size_t>(i)];
    const auto is_own = [&](int64_t task) { return task >= begin && task < end; };
    const auto others = std::ranges::find_if_not(tasks, is_own);
    EXPECT_TRUE(std::is_sorted(tasks.begin(), others));
    EXPECT_TRUE(std::none_of(others, tasks.end(), is_own));
    for (int64_t part = 0; part < threads; ++part) {
      std::vector<int64_t> of_part;
      std::copy_if(others, tasks.end(), std::back_inserter(of_part), [&](int64_t task) {
        return task >= kTasks * part / threads && task < kTasks * (part + 1) / threads;
      });
      EXPECT_TRUE(std::ranges::is_sorted(of_part, std::greater<>()));
    }
    all.insert(all.end(), tasks.begin(), tasks.end());
  }
  std::ranges::sort(all);
  for (int64_t i = 0; i < kTasks; ++i) ASSERT_EQ(all[static_cast<size_t>(i)], i);
}

// The first task is not over before all the others are: others take its thread's part meanwhile.
TEST(ThreadPool, OneSlowThreadHoldsNoOther) {
  for (const int threads : {2, 3, 8}) {
    ThreadPool pool(threads);
    constexpr int64_t kTasks = 100;
    std::atomic<int64_t> done = 0;
    pool.parallel_for(kTasks, [&](int64_t task, int) {
      while (task == 0 && done.load() < kTasks - 1) std::this_thread::yield();
      done.fetch_add(1);
    });
    EXPECT_EQ(done.load(), kTasks);
  }
}

// Loops come faster than workers fall asleep, and now and then after they have.
TEST_P(ThreadPoolTest, ManyLoopsWithAndWithoutPauses) {
  ThreadPool pool(GetParam());
  constexpr int64_t kLoops = 100;
  int64_t sum = 0;
  std::vector<int64_t> parts(5);
  for (int64_t loop = 0; loop < kLoops; ++loop) {
    if (loop % 25 == 24) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    pool.parallel_for(5,
                      [&](int64_t task, int) { parts[static_cast<size_t>(task)] = task + loop; });
    sum += std::accumulate(parts.begin(), parts.end(), int64_t{0});
  }
  EXPECT_EQ(sum, kLoops * 10 + 5 * (kLoops * (kLoops - 1) / 2));
}

TEST_P(ThreadPoolTest, EachLoopSeesWhatTheLastOneWrote) {
  ThreadPool pool(GetParam());
  std::vector<int64_t> values(64, 1);
  for (int loop = 0; loop < 50; ++loop) {
    std::vector<int64_t> next(values.size());
    pool.parallel_for(64, [&](int64_t i, int) {
      const auto at = static_cast<size_t>(i);
      next[at] = values[at] + values[(at + 1) % values.size()] % 1000003;
    });
    values = next;
  }
  for (const int64_t value : values) ASSERT_EQ(value, values[0]);
}

TEST_P(ThreadPoolTest, ComesAndGoes) {
  for (int i = 0; i < 20; ++i) {
    ThreadPool pool(GetParam());
    if (i % 2 == 0) {
      int64_t last = -1;
      pool.parallel_for(1, [&](int64_t task, int) { last = task; });
      EXPECT_EQ(last, 0);
    }
  }
}

// A worker may still be trying to join the last loop when the pool goes.
TEST_P(ThreadPoolTest, GoesRightBehindALoop) {
  for (int i = 0; i < 100; ++i) {
    std::atomic<int> runs{0};
    {
      ThreadPool pool(GetParam());
      for (int loop = 0; loop < 3; ++loop) pool.parallel_for(2, [&](int64_t, int) { ++runs; });
    }
    EXPECT_EQ(runs.load(), 6);
  }
}

std::vector<int> cores_of_this_thread() {
  cpu_set_t set;
  CPU_ZERO(&set);
  EXPECT_EQ(pthread_getaffinity_np(pthread_self(), sizeof(set), &set), 0);
  std::vector<int> cores;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(static_cast<unsigned>(core), &set)) cores.push_back(core);
  }
  return cores;
}

// The cores that each thread of a pool of 3 may use; the pool's caller may use `allowed`.
std::vector<std::vector<int>> cores_of_threads(const std::vector<int>& allowed, bool pin) {
  std::vector<std::vector<int>> found(3);
  std::thread([&] {  // the caller is pinned as well: not the test's own thread
    cpu_set_t set;
    CPU_ZERO(&set);
    for (const int core : allowed) CPU_SET(static_cast<unsigned>(core), &set);
    ASSERT_EQ(pthread_setaffinity_np(pthread_self(), sizeof(set), &set), 0);
    ThreadPool pool(3, pin);
    std::atomic<int> there{0};
    pool.parallel_for(3, [&](int64_t, int thread) {
      found[static_cast<size_t>(thread)] = cores_of_this_thread();
      ++there;
      while (there < 3) std::this_thread::yield();  // so that no thread runs two tasks
    });
  })
      .join();
  return found;
}

TEST(ThreadPoolPinTest, OthersMayTakeTheFirstCores) {
  const std::vector<int> all = cores_of_this_thread();
  std::vector<int> found;
  std::thread([&] {
    ThreadPool pool(1, true, 1);
    EXPECT_EQ(cores_of_this_thread(), all) << "pinned before it computes";
    pool.parallel_for(1, [&](int64_t, int) { found = cores_of_this_thread(); });
  }).join();
  EXPECT_EQ(found, std::vector<int>{all[1 % all.size()]});
}

TEST(ThreadPoolPinTest, ThreadsArePinnedToTheCoresTheCallerMayUse) {
  const std::vector<int> all = cores_of_this_thread();
  for (const auto& allowed : {all, std::vector<int>{all.back()}}) {  // often without core 0
    const std::vector<std::vector<int>> found = cores_of_threads(allowed, true);
    for (size_t thread = 0; thread < found.size(); ++thread) {
      EXPECT_EQ(found[thread], std::vector<int>{allowed[thread % allowed.size()]}) << thread;
    }
  }
}

TEST(ThreadPoolPinTest, WithoutPinningEveryThreadMayUseAllOfThem) {
  const std::vector<int> all = cores_of_this_thread();
  EXPECT_EQ(cores_of_threads(all, false), std::vector<std::vector<int>>(3, all));
}

TEST(ThreadPoolPinTest, RefusesCountsThatMakeNoSense) {
  for (const int threads : {0, -1, 1025}) {
    EXPECT_EQ(ashlar::testing::error_of([&] { ThreadPool pool(threads); }),
              fmt::format("threads: {} is not between 1 and 1024", threads));
  }
}

}  // namespace
}  // namespace ashlar
