// What the Metaspace pre-tokenizer and decoder share: the sign that stands for a space and where
// one is put in front.
#pragma once

#include "ashlar/text/json_view.h"

#include <string>

namespace ashlar::text {

enum class Prepend { kAlways, kFirst, kNever };  // kFirst: only at the start of the input

struct MetaspaceOptions {
  std::string sign = "\xE2\x96\x81";  // U+2581
  Prepend prepend = Prepend::kAlways;
};

// Throws Error when a field does not fit.
MetaspaceOptions metaspace_options(JsonView json);

}  // namespace ashlar::text
