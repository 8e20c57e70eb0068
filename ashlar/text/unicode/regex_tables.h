// Scripts and derived properties in patterns: their names, and which characters Oniguruma counts to
// them and PCRE2 does not. Generated, see tests/oracles/regex_tables.py.
#pragma once

#include <span>
#include <string_view>

namespace ashlar::text {

struct PropertyName {
  std::string_view plain;  // lower case without underscores
  std::string_view pcre2;  // inside of \p{}
};
std::span<const PropertyName> property_names();

struct PropertyRun {
  std::string_view plain;
  char32_t first, last;
};
std::span<const PropertyRun> runs_beyond_pcre2();

}  // namespace ashlar::text
