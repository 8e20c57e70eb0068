// Pre-tokenizers that cut by kinds of characters: BertPreTokenizer, Whitespace, WhitespaceSplit,
// Punctuation, Digits; and FixedLength.
#include "ashlar/base/utf8.h"
#include "ashlar/text/pre_tokenizers/delimiters.h"
#include "ashlar/text/pre_tokenizers/pre_tokenizer.h"
#include "ashlar/text/unicode/bert_tables.h"
#include "ashlar/text/unicode/properties.h"

namespace ashlar::text {
namespace {

using CharTest = bool (*)(char32_t);

// Punctuation as BERT counts it: of Unicode, and every other printable ASCII sign.
bool is_bert_punctuation(char32_t c) {
  if (c < 0x80) {
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
           (c >= '{' && c <= '~');
  }
  if (is_in(c, kPunctuation)) return !contains(bert_no_punctuation(), c);
  return contains(bert_also_punctuation(), c);
}

bool is_number(char32_t c) { return is_in(c, kNumbers); }

// Cuts around every character that passes the test.
class CharSplit : public PreTokenizer {
 public:
  CharSplit(CharTest test, Delimiters delimiters) : test_(test), delimiters_(delimiters) {}

  void apply(Pieces& pieces) const override {
    pieces.cut([this](std::string_view piece, auto&& emit) {
      std::vector<Span> matches;
      for (size_t at = 0; at < piece.size();) {
        const DecodedChar c = decode_utf8(piece.data() + at);
        if (test_(c.value)) matches.push_back({at, at + c.length});
        at += c.length;
      }
      for (const Span& part : split_around(piece.size(), matches, delimiters_, false)) {
        emit(part.begin, part.end);
      }
    });
  }

 private:
  CharTest test_;
  Delimiters delimiters_;
};

class BertPreTokenizer : public PreTokenizer {
 public:
  void apply(Pieces& pieces) const override {
    spaces_.apply(pieces);
    punctuation_.apply(pieces);
  }

 private:
  CharSplit spaces_{is_white_space, Delimiters::kRemoved};
  CharSplit punctuation_{is_bert_punctuation, Delimiters::kIsolated};
};

// \w+|[^\w\s]+ : runs of word characters, runs of other signs; spaces vanish.
class Whitespace : public PreTokenizer {
 public:
  void apply(Pieces& pieces) const override {
    pieces.cut([](std::string_view piece, auto&& emit) {
      enum Kind { kSpace, kWord, kSign };
      Kind run = kSpace;
      size_t begin = 0;
      for (size_t at = 0; at < piece.size();) {
        const DecodedChar c = decode_utf8(piece.data() + at);
        const Kind kind = is_word_or_joiner(c.value) ? kWord
                          : is_white_space(c.value)  ? kSpace
                                                     : kSign;
        if (kind != run) {
          if (run != kSpace) emit(begin, at);
          run = kind;
          begin = at;
        }
        at += c.length;
      }
      if (run != kSpace) emit(begin, piece.size());
    });
  }
};

// Of Unicode 17: Hugging Face tokenizers knows a newer one here than its patterns do.
bool is_numeric(char32_t c) {
  return is_number(c) || (c >= 0x11DE0 && c <= 0x11DE9) || (c >= 0x16FF4 && c <= 0x16FF6);
}

class FixedLength : public PreTokenizer {
 public:
  explicit FixedLength(int64_t chars) : chars_(chars) {}
  void apply(Pieces& pieces) const override {
    pieces.cut([this](std::string_view piece, auto&& emit) {
      size_t begin = 0;
      int64_t count = 0;
      for (size_t at = 0; at < piece.size();) {
        at += utf8_length(piece[at]);
        if (++count == chars_ || at == piece.size()) {
          emit(begin, at);
          begin = at;
          count = 0;
        }
      }
    });
  }

 private:
  int64_t chars_;
};

}  // namespace

std::unique_ptr<PreTokenizer> make_bert_pre_tokenizer(JsonView) {
  return std::make_unique<BertPreTokenizer>();
}

std::unique_ptr<PreTokenizer> make_whitespace(JsonView) { return std::make_unique<Whitespace>(); }

std::unique_ptr<PreTokenizer> make_whitespace_split(JsonView) {
  return std::make_unique<CharSplit>(is_white_space, Delimiters::kRemoved);
}

std::unique_ptr<PreTokenizer> make_punctuation(JsonView json) {
  const auto behavior = json.find("behavior");
  return std::make_unique<CharSplit>(
      is_bert_punctuation, behavior ? delimiters_from_json(*behavior) : Delimiters::kIsolated);
}

std::unique_ptr<PreTokenizer> make_digits(JsonView json) {
  const bool individual = json.boolean_or("individual_digits", false);
  return std::make_unique<CharSplit>(is_numeric,
                                     individual ? Delimiters::kIsolated : Delimiters::kContiguous);
}

std::unique_ptr<PreTokenizer> make_fixed_length(JsonView json) {
  return std::make_unique<FixedLength>(json.at("length").integer(1, 1'000'000));
}

}  // namespace ashlar::text
