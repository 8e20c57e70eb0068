// Scripts as the reference's UnicodeScripts cuts by them (Han, Hiragana and Katakana are one; what
// belongs to none or to several is left out): generated, see tests/oracles/unicode_scripts.py.
#pragma once

#include <cstdint>
#include <span>

namespace ashlar::text {

struct ScriptRun {
  char32_t first, last;
  uint16_t script;  // a number; equal for characters of one script
};
std::span<const ScriptRun> script_runs();  // rising

}  // namespace ashlar::text
