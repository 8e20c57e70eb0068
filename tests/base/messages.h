// The message of the Error that a call throws, to compare whole lines with.
#pragma once

#include "ashlar/base/error.h"

#include <string>

namespace ashlar::testing {

template <typename F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "(no error)";
}

}  // namespace ashlar::testing
