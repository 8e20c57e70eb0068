#include "ashlar/runtime/kept_variables.h"

#include <cstring>

namespace ashlar::runtime {

void KeptVariables::add(const comm::Buffer& variable) {
  variables_.push_back(variable);
  memory_.resize(memory_.size() + variable.bytes());
}

void KeptVariables::keep() {
  std::byte* to = memory_.data();
  for (const comm::Buffer& variable : variables_) {
    if (variable.elements > 0) std::memcpy(to, variable.data, variable.bytes());
    to += variable.bytes();
  }
}

void KeptVariables::bring_back() const {
  const std::byte* from = memory_.data();
  for (const comm::Buffer& variable : variables_) {
    if (variable.elements > 0) std::memcpy(variable.data, from, variable.bytes());
    from += variable.bytes();
  }
}

}  // namespace ashlar::runtime
