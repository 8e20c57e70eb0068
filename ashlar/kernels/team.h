// What a kernel's caller holds: a thread pool and a scratch buffer as the plain Team that kernels
// take. Not for kernel sources.
#pragma once

#include "ashlar/base/thread_pool.h"
#include "ashlar/kernels/parallel.h"

#include <cstddef>
#include <span>

namespace ashlar::kernels {

// scratch is 64-byte aligned and, like the pool, outlives the Team.
inline Team make_team(ThreadPool& pool, std::span<std::byte> scratch = {}) {
  return {
      .pool = &pool,
      .run_tasks = [](void* p, int64_t tasks, void (*task)(void* context, int64_t i, int thread),
                      void* context) { static_cast<ThreadPool*>(p)->run(tasks, task, context); },
      .threads = pool.threads(),
      .scratch = scratch.data(),
      .scratch_bytes = static_cast<int64_t>(scratch.size())};
}

}  // namespace ashlar::kernels
