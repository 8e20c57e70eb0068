// The text of generated tokens as it becomes certain: whole characters, up to the first stop
// string.
#pragma once

#include "ashlar/generate/stop_strings.h"
#include "ashlar/text/detokenizer.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace ashlar::generate {

class TextStream {
 public:
  // The tokenizer outlives this. `before`: the tokens that the generated ones follow; decoders
  // treat the first word of a text differently.
  TextStream(const text::Tokenizer& tokenizer, std::span<const int32_t> before,
             std::vector<std::string> stops);

  std::string push(int32_t id);
  std::string finish();  // what was held back, once, after the last token
  bool stopped() const { return stops_.found(); }

 private:
  void drop_known(std::string& text);

  text::Detokenizer detokenizer_;
  std::string known_;  // of the prompt, but not yet given out by the detokenizer
  StopStrings stops_;
};

}  // namespace ashlar::generate
