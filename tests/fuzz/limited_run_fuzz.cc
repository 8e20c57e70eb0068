#include "ashlar/base/log.h"
#include "tests/fuzz/limited_run.h"

#include <sanitizer/allocator_interface.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>

namespace ashlar::testing {
namespace {

// Tables, JIT code and work spaces that any parser sets up, and what a byte may become: the densest
// JSON makes a node of about a hundred bytes, twice while its list grows, out of two characters.
constexpr int64_t kFloor = int64_t{8} << 20;
constexpr int64_t kTimes = 256;

std::atomic<int64_t> live{0};
std::atomic<int64_t> limit{INT64_MAX};

void on_malloc(const volatile void*, size_t size) {
  const int64_t now = live.fetch_add(static_cast<int64_t>(size)) + static_cast<int64_t>(size);
  if (now <= limit.load()) return;
  limit = INT64_MAX;  // what prints and dies may allocate
  std::fprintf(stderr, "an allocation of %zu bytes: %lld are live, beyond the input's share\n",
               size, static_cast<long long>(now));
  std::abort();
}

void on_free(const volatile void* memory) {
  live.fetch_sub(
      static_cast<int64_t>(__sanitizer_get_allocated_size(const_cast<const void*>(memory))));
}

[[maybe_unused]] const int hooked = __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);

// What parsers note of odd files, thousands a second.
[[maybe_unused]] const bool quiet = (spdlog::set_level(spdlog::level::off), true);

}  // namespace

int run_limited(void (*read)(std::string_view), const uint8_t* data, size_t size) {
  limit = live + kFloor + kTimes * static_cast<int64_t>(size);
  read({reinterpret_cast<const char*>(data), size});
  limit = INT64_MAX;
  return 0;
}

}  // namespace ashlar::testing
