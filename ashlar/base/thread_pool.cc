#include "ashlar/base/thread_pool.h"

#include "ashlar/base/error.h"

#include <pthread.h>
#include <sched.h>

#include <chrono>

namespace ashlar {
namespace {

// How long a thread polls before it gives its core back: about what falling asleep and being woken
// costs, so that waiting never takes much more than twice the best choice (Karlin et al. 1990), and
// longer than the gap between two ops.
constexpr std::chrono::microseconds kSpin{100};

// state_: bits 0-15 count the workers in the loop, bit 16 says that more may join, the rest is the
// number of the loop.
constexpr uint64_t kWorkers = 0xffff, kOpen = 0x10000, kNextLoop = 0x20000;
constexpr uint64_t loop_of(uint64_t state) { return state / kNextLoop; }

// Tasks that are left of a part: the first in the low half, their end in the high one.
constexpr int64_t kMostTasks = 0xffffffff;
constexpr uint64_t range(uint64_t first, uint64_t end) { return end << 32 | first; }

// One of them; -1: none.
int64_t take(std::atomic<uint64_t>& left, bool from_front) {
  uint64_t found = left.load(std::memory_order_relaxed);
  for (;;) {
    const uint64_t first = found & 0xffffffff, end = found >> 32;
    if (first == end) return -1;
    const uint64_t rest = from_front ? range(first + 1, end) : range(first, end - 1);
    if (left.compare_exchange_weak(found, rest, std::memory_order_relaxed)) {
      return static_cast<int64_t>(from_front ? first : end - 1);
    }
  }
}

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Polls until done() or until kSpin is over; returns whether it is done.
template <typename Done>
bool spin_until(const Done& done) {
  constexpr int kPollsPerLook = 16;  // at the clock, which takes longer than a poll
  const auto end = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < kPollsPerLook; ++i) {
      if (done()) return true;
      relax();
    }
  } while (std::chrono::steady_clock::now() < end);
  return false;
}

// The cores that the calling thread may use, in ascending order; none when the system won't tell.
std::vector<int> allowed_cores() {
  std::vector<int> cores;
  cpu_set_t set;
  if (pthread_getaffinity_np(pthread_self(), sizeof(set), &set) != 0) return cores;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(static_cast<unsigned>(core), &set)) cores.push_back(core);
  }
  return cores;
}

void pin_to_core(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(core), &set);
  pthread_setaffinity_np(pthread_self(), sizeof(set), &set);  // best effort: containers may refuse
}

}  // namespace

ThreadPool::ThreadPool(int threads, bool pin, int first_core) {
  ASHLAR_CHECK(threads >= 1 && threads <= 1024, "threads: {} is not between 1 and 1024", threads);
  // Read before anything is pinned: a thread inherits the mask of the one that makes it.
  const std::vector<int> cores = pin ? allowed_cores() : std::vector<int>{};
  const auto core_of = [&](int thread) {
    return cores.empty() ? -1 : cores[static_cast<size_t>(first_core + thread) % cores.size()];
  };
  parts_ = std::vector<Part>(static_cast<size_t>(threads));
  workers_.reserve(static_cast<size_t>(threads - 1));
  for (int i = 1; i < threads; ++i) {
    workers_.emplace_back([this, i, core = core_of(i)] {
      if (core >= 0) pin_to_core(core);
      work(i);
    });
  }
  caller_core_ = core_of(0);
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard lock(mutex_);
    stop_.store(true);
    state_.fetch_add(kNextLoop);
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

// Only once it computes: what its thread starts before may use any core.
void ThreadPool::pin_caller() {
  if (caller_core_ < 0 || pinned_caller_ == std::this_thread::get_id()) return;
  pin_to_core(caller_core_);
  pinned_caller_ = std::this_thread::get_id();
}

void ThreadPool::run(int64_t tasks, Task task, void* context) {
  if (tasks <= 0) return;
  pin_caller();
  if (workers_.empty() || tasks == 1) {
    for (int64_t i = 0; i < tasks; ++i) task(context, i, 0);
    return;
  }
  task_ = task;
  context_ = context;
  share_out(tasks);
  // Sequentially consistent: either a worker going to sleep sees the new loop, or we see it among
  // the sleepers and wake it.
  state_.fetch_add(kNextLoop + kOpen);
  if (sleepers_.load() > 0) {
    std::lock_guard lock(mutex_);
    wake_.notify_all();
  }
  take_tasks(0);
  state_.fetch_sub(kOpen);
  const auto alone = [this] { return (state_.load(std::memory_order_acquire) & kWorkers) == 0; };
  if (spin_until(alone)) return;
  while (!alone()) sched_yield();  // a worker lost its core in the middle of a task
}

// Neighbouring tasks to one thread: what they read and write often lies side by side.
void ThreadPool::share_out(int64_t tasks) {
  ASHLAR_CHECK(tasks <= kMostTasks, "thread pool: a loop of {} tasks, at most {} are wanted", tasks,
               kMostTasks);
  const auto all = static_cast<uint64_t>(tasks), threads = static_cast<uint64_t>(parts_.size());
  for (uint64_t i = 0; i < threads; ++i) {
    parts_[i].left.store(range(all * i / threads, all * (i + 1) / threads),
                         std::memory_order_relaxed);
  }
}

// The first task that is left of the thread's own part, or the last one of another's; -1: none.
int64_t ThreadPool::next_task(size_t thread) {
  int64_t task = take(parts_[thread].left, true);
  for (size_t other = 1; task < 0 && other < parts_.size(); ++other) {
    task = take(parts_[(thread + other) % parts_.size()].left, false);
  }
  return task;
}

void ThreadPool::take_tasks(int thread) {
  const auto own = static_cast<size_t>(thread);
  for (int64_t i = next_task(own); i >= 0; i = next_task(own)) task_(context_, i, thread);
}

void ThreadPool::work(int thread) {
  uint64_t seen = 0;  // the last loop this worker knows of
  for (;;) {
    uint64_t state = 0;
    const auto next_loop = [&] { return loop_of(state = state_.load()) != seen; };
    if (!spin_until(next_loop)) {
      std::unique_lock lock(mutex_);
      sleepers_.fetch_add(1);
      wake_.wait(lock, next_loop);
      sleepers_.fetch_sub(1);
    }
    bool joined = false;
    while (!joined && (state & kOpen) != 0) joined = state_.compare_exchange_weak(state, state + 1);
    seen = loop_of(state);
    // Asked here, not when the new state was first seen: while we tried to join a loop it may have
    // ended and the destructor's state, which is the last, come in its place.
    if (stop_.load()) return;
    if (!joined) continue;  // it ended without us
    take_tasks(thread);
    state_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace ashlar
