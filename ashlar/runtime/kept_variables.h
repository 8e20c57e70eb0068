// A second place for Variables that an update is about to change, so that it can be taken back, to
// the bit.
#pragma once

#include "ashlar/comm/buffer.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ashlar::runtime {

class KeptVariables {
 public:
  // Memory of the caller's that the update writes; it stays where it is.
  void add(const comm::Buffer& variable);
  void keep();
  void bring_back() const;
  int64_t bytes() const { return static_cast<int64_t>(memory_.size()); }

 private:
  std::vector<comm::Buffer> variables_;
  std::vector<std::byte> memory_;
};

}  // namespace ashlar::runtime
