// The version of this build; its source is written by cmake/version.cmake.
#pragma once

#include <string_view>

namespace ashlar {

std::string_view version();   // "0.1.0"
std::string_view revision();  // the commit, "-dirty" if changed since; empty outside a git checkout

}  // namespace ashlar
