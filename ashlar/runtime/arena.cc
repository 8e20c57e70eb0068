#include "ashlar/runtime/arena.h"

#include "ashlar/base/error.h"
#include "ashlar/base/human.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>

namespace ashlar::runtime {

Arena::Arena(int64_t bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  void* memory = ::mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  ASHLAR_CHECK(memory != MAP_FAILED, "out of memory: {} wanted for activations: {}",
               human_bytes(static_cast<double>(bytes)), std::strerror(errno));
  data_ = static_cast<std::byte*>(memory);
  // Fewer page faults where the system grants huge pages; no harm where it does not.
  ::madvise(memory, static_cast<size_t>(bytes), MADV_HUGEPAGE);
}

Arena::~Arena() {
  if (data_ != nullptr) ::munmap(data_, static_cast<size_t>(bytes_));
}

}  // namespace ashlar::runtime
