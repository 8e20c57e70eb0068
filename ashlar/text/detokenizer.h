// Text from ids that arrive one by one: each push returns the characters that have become certain,
// never a part of one. All pushes and finish() together give exactly Tokenizer::decode of all ids.
#pragma once

#include "ashlar/text/tokenizer.h"

#include <cstdint>
#include <memory>
#include <string>

namespace ashlar::text {

class Detokenizer {
 public:
  // The tokenizer must outlive this.
  Detokenizer(const Tokenizer& tokenizer, bool skip_special_tokens);
  ~Detokenizer();
  Detokenizer(Detokenizer&&) noexcept;
  Detokenizer& operator=(Detokenizer&&) noexcept;

  // Text that follows what was returned before; may be empty while a character is incomplete.
  std::string push(int32_t id);
  // The rest, once, after the last id: an incomplete character becomes U+FFFD.
  std::string finish();

 private:
  struct State;
  const Tokenizer* tokenizer_;
  bool skip_special_tokens_;
  std::unique_ptr<State> state_;
};

}  // namespace ashlar::text
