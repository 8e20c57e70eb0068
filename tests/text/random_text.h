// Text for property tests: characters that tokenizers stumble over, mixed with all others.
#pragma once

#include "ashlar/base/philox.h"

#include <string>
#include <vector>

namespace ashlar::text {

class RandomText {
 public:
  explicit RandomText(std::string_view purpose) : stream_(20240607, purpose) {}

  uint64_t below(uint64_t bound) { return stream_.below(next_++, bound); }
  // Well-formed UTF-8 of up to max_chars characters and short snippets.
  std::string text(uint64_t max_chars);
  // Any bytes, often cut-off characters.
  std::string bytes(uint64_t max_length);
  char32_t any_char();  // every code point but surrogates

 private:
  RandomStream stream_;
  uint64_t next_ = 0;
};

}  // namespace ashlar::text
