#include "ashlar/generate/text_stream.h"

#include <algorithm>
#include <utility>

namespace ashlar::generate {
namespace {

// Enough of the prompt's end for any decoder to know that text came before, and for a character
// that the prompt leaves incomplete.
constexpr size_t kContextTokens = 64;

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

}  // namespace

TextStream::TextStream(const text::Tokenizer& tokenizer, std::span<const int32_t> before,
                       std::vector<std::string> stops)
    : detokenizer_(tokenizer, true), stops_(std::move(stops)) {
  const auto context = before.last(std::min(before.size(), kContextTokens));
  size_t given = 0;
  for (const int32_t id : context) given += detokenizer_.push(id).size();
  // A character spelled in bytes is held back until it is clear that no more bytes follow: it is
  // the prompt's, unless it is incomplete.
  known_ = tokenizer.decode(context, true).substr(given);
  while (known_.ends_with(kReplacement)) known_.resize(known_.size() - kReplacement.size());
}

std::string TextStream::push(int32_t id) {
  std::string text = detokenizer_.push(id);
  drop_known(text);
  return stops_.push(text);
}

std::string TextStream::finish() {
  if (stops_.found()) return {};
  std::string rest = detokenizer_.finish();
  drop_known(rest);
  std::string text = stops_.push(rest);
  if (!stops_.found()) text += stops_.finish();
  return text;
}

void TextStream::drop_known(std::string& text) {
  if (known_.empty() || text.empty()) return;
  if (text.starts_with(known_)) {
    text.erase(0, known_.size());
    known_.clear();
  } else if (known_.starts_with(text)) {
    known_.erase(0, text.size());
    text.clear();
  } else {
    known_.clear();  // further bytes made something else of it
  }
}

}  // namespace ashlar::generate
