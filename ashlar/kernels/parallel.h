// What a kernel sees of the thread pool and of memory: plain C types, so that a source compiled for
// one ISA tier instantiates no library template (see README.md). Allow-listed for *.kernel.cc.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ashlar::kernels {

// A team of threads and the scratch memory the memory plan gave to this op. Kernels neither
// allocate nor throw; their *_scratch functions say what they need beforehand.
struct Team {
  void* pool = nullptr;
  void (*run_tasks)(void* pool, int64_t tasks, void (*task)(void* context, int64_t i, int thread),
                    void* context) = nullptr;
  int threads = 1;
  std::byte* scratch = nullptr;  // 64-byte aligned
  int64_t scratch_bytes = 0;
};

// f(int64_t task, int thread) for every task in [0, tasks), taken dynamically. Which thread runs a
// task must not change any bit of the result.
template <typename F>
inline void parallel_for(const Team& team, int64_t tasks, const F& f) {
  struct Call {
    static void task(void* context, int64_t i, int thread) {
      (*static_cast<const F*>(context))(i, thread);
    }
  };
  if (team.threads <= 1 || tasks <= 1 || team.run_tasks == nullptr) {
    for (int64_t i = 0; i < tasks; ++i) f(i, 0);
  } else {
    team.run_tasks(team.pool, tasks, &Call::task, const_cast<F*>(&f));
  }
}

}  // namespace ashlar::kernels
