#include "ashlar/base/process_memory.h"

#include "tests/base/child.h"

#include <gtest/gtest.h>

#include <sys/mman.h>

#include <cstdlib>

namespace ashlar {
namespace {

TEST(ProcessMemoryTest, ThePeakStaysWhenMemoryIsGivenBack) {
  // A child: the parent's heap must not hide what is added.
  const testing::ChildEnd end = testing::run_in_child([] {
    constexpr int64_t kBytes = int64_t{256} << 20;
    const int64_t before = peak_resident_bytes();
    void* memory = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED || before == 0) std::abort();
    ::munmap(memory, kBytes);
    const int64_t grown = peak_resident_bytes() - before;
    if (grown < kBytes / 2 || grown > kBytes + (kBytes >> 2)) std::abort();
  });
  EXPECT_EQ(end.exit_code, 0);
}

TEST(ProcessMemoryTest, AResetPeakIsWhatIsResidentNow) {
  const testing::ChildEnd end = testing::run_in_child([] {
    constexpr int64_t kBytes = int64_t{256} << 20;
    const int64_t before = peak_resident_bytes();
    void* memory = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    ::munmap(memory, kBytes);
    if (reset_peak_resident_bytes() && peak_resident_bytes() > before + kBytes / 2) std::abort();
  });
  EXPECT_EQ(end.exit_code, 0);
}

}  // namespace
}  // namespace ashlar
