// The memory Programs compute in: one range, reserved at once, whose pages become resident only
// when touched.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ashlar::runtime {

class Arena {
 public:
  // Throws Error with the bytes wanted when the system refuses.
  explicit Arena(int64_t bytes);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  std::byte* data() const { return data_; }
  int64_t bytes() const { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  int64_t bytes_ = 0;
};

}  // namespace ashlar::runtime
