// Where tests find files: functions, so that their objects name no folder and ccache can share
// them.
#pragma once

#include <string>
#include <string_view>

namespace ashlar {

std::string test_data(std::string_view name = "");  // tests/fixtures/NAME
std::string ashlar_binary();                        // the program of this build
std::string test_program(std::string_view name);    // built of a *_main.cc

}  // namespace ashlar
