#include "ashlar/generate/text_stream.h"

#include <algorithm>
#include <utility>

namespace ashlar::generate {
namespace {

// Enough of the prompt's end for any decoder to know that text came before, and for a character
// that the prompt leaves incomplete.
constexpr size_t kContextTokens = 64;

}  // namespace

TextStream::TextStream(const text::Tokenizer& tokenizer, std::span<const int32_t> before,
                       std::vector<std::string> stops)
    : detokenizer_(tokenizer, true), stops_(std::move(stops)) {
  for (const int32_t id : before.last(std::min(before.size(), kContextTokens))) {
    detokenizer_.push(id);
  }
}

std::string TextStream::push(int32_t id) {
  const std::string text = detokenizer_.push(id);
  return stops_.push(text);
}

std::string TextStream::finish() {
  if (stops_.found()) return {};
  std::string text = stops_.push(detokenizer_.finish());
  if (!stops_.found()) text += stops_.finish();
  return text;
}

}  // namespace ashlar::generate
