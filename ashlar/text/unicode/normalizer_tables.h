// Where the reference's normalizers depart from utf8proc's tables, whose Unicode is newer than the
// reference's for normal forms and accents and older for lower case: generated, see
// tests/oracles/normalizer_tables.py.
#pragma once

#include "ashlar/text/unicode/char_runs.h"

#include <cstdint>
#include <span>

namespace ashlar::text {

std::span<const CharRun> chars_without_forms();   // no normal form changes or passes them
std::span<const CharRun> strip_kept_marks();      // marks that StripAccents keeps
std::span<const CharRun> strip_dropped_others();  // no marks, yet StripAccents drops them

struct LowerRun {
  char32_t first, last;
  int32_t delta;  // what is added for the lower case
};
std::span<const LowerRun> later_lower_case();

}  // namespace ashlar::text
