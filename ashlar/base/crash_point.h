// Named places where a process can be made to die, so that tests can cut a save short at each one.
// A no-op unless the environment asks for it:
//   ASHLAR_CRASH_AT=17 or NAME or NAME#3   SIGKILL at the 17th point passed, or the 1st or 3rd NAME
//   ASHLAR_CRASH_LIST=FILE                 append the name of each point passed to FILE
#pragma once

#include <string_view>

namespace ashlar {

// The point's name is label.step, as in crash_point("checkpoint.optimizer", "before_rename").
void crash_point(std::string_view label, std::string_view step);

// Forgets what was counted and reads the environment again: for tests that fork.
void reload_crash_points();

}  // namespace ashlar
