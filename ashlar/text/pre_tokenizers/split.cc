// Split (a pattern and what becomes of its matches) and CharDelimiterSplit.
#include "ashlar/base/utf8.h"
#include "ashlar/text/pattern.h"
#include "ashlar/text/pre_tokenizers/delimiters.h"
#include "ashlar/text/pre_tokenizers/pre_tokenizer.h"
#include "ashlar/text/pre_tokenizers/word_patterns.h"

namespace ashlar::text {
namespace {

class Split : public PreTokenizer {
 public:
  Split(Pattern pattern, Delimiters delimiters, bool invert)
      : pattern_(std::move(pattern)), delimiters_(delimiters), invert_(invert) {}

  void apply(Pieces& pieces) const override {
    pieces.cut([this](std::string_view piece, auto&& emit) {
      std::vector<Span> matches;
      pattern_.each_match(piece, [&matches](Span match) { matches.push_back(match); });
      for (const Span& part : split_around(piece.size(), matches, delimiters_, invert_)) {
        emit(part.begin, part.end);
      }
    });
  }

 private:
  Pattern pattern_;
  Delimiters delimiters_;
  bool invert_;
};

// A Split by a well-known pattern whose matches cover the text.
class WordSplit : public PreTokenizer {
 public:
  explicit WordSplit(WordPattern pattern) : pattern_(pattern) {}

  void apply(Pieces& pieces) const override {
    pieces.cut([this](std::string_view piece, auto&& emit) {
      for (size_t at = 0; at < piece.size();) {
        const size_t length = match_word(pattern_, piece.substr(at));
        emit(at, at + length);
        at += length;
      }
    });
  }

 private:
  WordPattern pattern_;
};

}  // namespace

std::unique_ptr<PreTokenizer> make_split(JsonView json) {
  Pattern pattern = Pattern::from_json(json.at("pattern"));
  const Delimiters delimiters = delimiters_from_json(json.at("behavior"));
  const bool invert = json.boolean_or("invert", false);
  const bool keeps_matches = (delimiters == Delimiters::kIsolated && !invert) ||
                             (delimiters == Delimiters::kRemoved && invert);
  if (pattern.regex_text() != nullptr && keeps_matches) {
    if (const auto known = word_pattern_from_regex(*pattern.regex_text())) {
      return std::make_unique<WordSplit>(*known);
    }
  }
  return std::make_unique<Split>(std::move(pattern), delimiters, invert);
}

std::unique_ptr<PreTokenizer> make_char_delimiter_split(JsonView json) {
  const JsonView delimiter = json.at("delimiter");
  const std::string_view text = delimiter.string();
  if (text.empty() || utf8_length(text[0]) != text.size()) delimiter.fail("wanted one character");
  return std::make_unique<Split>(Pattern::literal(std::string(text)), Delimiters::kRemoved, false);
}

}  // namespace ashlar::text
