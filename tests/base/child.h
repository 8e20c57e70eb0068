// Runs a function in a forked copy of the test, so that it may die, lose rights or change limits.
#pragma once

#include <functional>

namespace ashlar::testing {

struct ChildEnd {
  int exit_code = -1;  // 0: the function returned; 99: it threw; -1: a signal ended it
  int signal = 0;
};

ChildEnd run_in_child(const std::function<void()>& body);

}  // namespace ashlar::testing
