// A team of threads that runs one parallel loop at a time. Each thread takes its part of the tasks
// in ascending order, and then what others have left of theirs, the last first (work stealing,
// Blumofe and Leiserson 1999), so that one slow core does not hold the others; results may not
// depend on which thread runs a task. Workers poll for kSpin between loops and then sleep. run()
// allocates nothing.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace ashlar {

class ThreadPool {
 public:
  // task in [0, tasks), thread in [0, threads()). Must not throw.
  using Task = void (*)(void* context, int64_t task, int thread);

  // threads >= 1 counts the caller of run(). pin: bind thread i, the caller being thread 0, to the
  // i-th core that the maker may use (its affinity mask, as a container or taskset sets it), from
  // the first again where threads outnumber cores; first_core are left to others before.
  explicit ThreadPool(int threads, bool pin = false, int first_core = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Runs task(context, i, thread) for every i; returns when all are done. One caller at a time,
  // never from inside a task.
  void run(int64_t tasks, Task task, void* context);

  // The same for a callable f(int64_t task, int thread).
  template <typename F>
  void parallel_for(int64_t tasks, F&& f) {
    run(
        tasks,
        [](void* context, int64_t task, int thread) {
          (*static_cast<std::remove_reference_t<F>*>(context))(task, thread);
        },
        const_cast<void*>(static_cast<const void*>(&f)));
  }

 private:
  void work(int thread);
  void pin_caller();
  void take_tasks(int thread);
  int64_t next_task(size_t thread);
  void share_out(int64_t tasks);

  // The loop being run; written by run() before state_ is published, read by those who joined it.
  Task task_ = nullptr;
  void* context_ = nullptr;
  struct alignas(64) Part {
    std::atomic<uint64_t> left{0};  // two halves: see thread_pool.cc
  };
  std::vector<Part> parts_;  // of the tasks, each thread's
  // The loop's number, whether workers may join it, and how many have: see thread_pool.cc.
  alignas(64) std::atomic<uint64_t> state_{0};
  std::atomic<bool> stop_{false};
  std::atomic<int> sleepers_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::thread> workers_;
  int caller_core_ = -1;           // below 0: not pinned
  std::thread::id pinned_caller_;  // the last one
};

}  // namespace ashlar
