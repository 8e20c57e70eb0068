// How long a text may become by the rules of a tokenizer's file: 32 times as long and a megabyte
// more. Real rules stay far below; a few hostile bytes could ask for terabytes.
#pragma once

#include "ashlar/base/error.h"

#include <cstddef>
#include <string_view>

namespace ashlar::text {

inline void check_growth(std::string_view what, size_t before, size_t after) {
  ASHLAR_CHECK(
      after <= 32 * before + (size_t{1} << 20),
      "{} makes {} bytes and more of a text of {} bytes; the rules of this tokenizer are hostile",
      what, after, before);
}

}  // namespace ashlar::text
