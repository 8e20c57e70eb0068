// The text of one encode call on its way through the pre-tokenizers: a text and the pieces it is
// cut into. Cutting moves span bounds only; a pre-tokenizer that changes characters rewrites the
// text.
#pragma once

#include "ashlar/text/byte_chars.h"
#include "ashlar/text/regex.h"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace ashlar::text {

// How a model is to read a piece: as UTF-8, or each byte as the character that GPT-2's byte
// alphabet has for it (byte_chars.h), which spares writing those characters out.
enum class Alphabet { kText, kBytes };

class Pieces {
 public:
  // One piece, all of `text`, which must outlive this. at_start: the input begins with it.
  void reset(std::string_view text, bool at_start) {
    text_ = text;
    at_start_ = at_start;
    alphabet_ = Alphabet::kText;
    spans_.clear();
    if (!text.empty()) spans_.push_back({0, text.size()});
  }

  std::string_view text() const { return text_; }
  Alphabet alphabet() const { return alphabet_; }
  // Whether the first piece begins where the input does.
  bool at_start() const { return at_start_; }
  const std::vector<Span>& spans() const { return spans_; }
  std::string_view piece(Span span) const { return text_.substr(span.begin, span.size()); }

  // Cuts every piece: cut(piece text, emit) calls emit(begin, end) with offsets inside the piece
  // for each part that stays, in order. Empty parts vanish. Pieces of bytes are written out first.
  template <typename Cut>
  void cut(Cut&& cut) {
    write_out_bytes();
    next_.clear();
    for (const Span& span : spans_) {
      cut(piece(span), [&](size_t begin, size_t end) {
        if (begin < end) next_.push_back({span.begin + begin, span.begin + end});
      });
    }
    at_start_ = at_start_ && !next_.empty() && next_[0].begin == spans_[0].begin;
    spans_.swap(next_);
  }

  // Replaces every piece: rewrite(piece text, index, out) appends its new text to out.
  template <typename Rewrite>
  void rewrite(Rewrite&& rewrite) {
    write_out_bytes();
    replace(rewrite);
  }

  // The pieces are from now on read as bytes.
  void read_as_bytes() {
    write_out_bytes();
    alphabet_ = Alphabet::kBytes;
  }

 private:
  template <typename Rewrite>
  void replace(Rewrite&& rewrite) {
    std::string out;
    next_.clear();
    for (size_t i = 0; i < spans_.size(); ++i) {
      const size_t begin = out.size();
      rewrite(piece(spans_[i]), i, out);
      if (begin < out.size()) next_.push_back({begin, out.size()});
    }
    spans_.swap(next_);
    storage_ = std::move(out);
    text_ = storage_;
  }

  void write_out_bytes() {
    if (alphabet_ == Alphabet::kText) return;
    alphabet_ = Alphabet::kText;
    replace(
        [](std::string_view bytes, size_t, std::string& out) { append_byte_chars(out, bytes); });
  }

  std::string_view text_;
  std::string storage_;
  std::vector<Span> spans_, next_;
  Alphabet alphabet_ = Alphabet::kText;
  bool at_start_ = true;
};

}  // namespace ashlar::text
