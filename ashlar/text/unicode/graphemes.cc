#include "ashlar/text/unicode/graphemes.h"

#include "ashlar/base/utf8.h"

#include <utf8proc.h>

namespace ashlar::text {

size_t grapheme_length(std::string_view text) {
  DecodedChar last = decode_utf8(text.data());
  size_t length = last.length;
  utf8proc_int32_t state = 0;
  while (length < text.size()) {
    const DecodedChar next = decode_utf8(text.data() + length);
    if (last.value < 0x80 && next.value < 0x80) {  // of these only CR LF stay together
      if (last.value != '\r' || next.value != '\n') break;
    } else if (utf8proc_grapheme_break_stateful(static_cast<utf8proc_int32_t>(last.value),
                                                static_cast<utf8proc_int32_t>(next.value),
                                                &state)) {
      break;
    }
    length += next.length;
    last = next;
  }
  return length;
}

}  // namespace ashlar::text
