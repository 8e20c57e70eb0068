// Decoders turn tokens back into text (section `decoder` of tokenizer.json). A decoder is opened as
// a stream that tokens are pushed through one by one, so that decoding at once and token by token
// is the same code and gives the same text. A new type is a class behind this interface, a maker
// below, and a row in factory.cc.
#pragma once

#include "ashlar/text/json_view.h"

#include <memory>
#include <string>
#include <string_view>

namespace ashlar::text {

// Takes tokens: any number of text() for each, then end_token(); finish() once, after the last.
class TokenStream {
 public:
  virtual ~TokenStream() = default;
  virtual void text(std::string_view fragment) = 0;
  virtual void end_token() = 0;
  virtual void finish() = 0;
};

// What a decoder does with bytes that are not UTF-8: replace them by U+FFFD, or pass them on.
enum class IllFormed { kReplace, kKeep };

class Decoder {
 public:
  virtual ~Decoder() = default;
  // A stream that passes decoded text on to `next`, which must outlive it, and calls next.finish()
  // from its own. Only whole characters are passed on (with kKeep, ByteLevel passes any bytes).
  virtual std::unique_ptr<TokenStream> open(TokenStream& next, IllFormed ill_formed) const = 0;
};

// Throws Error for a type that is not known or a field that does not fit. Never null; without a
// section (nullopt) tokens are joined with spaces.
std::unique_ptr<Decoder> make_decoder(std::optional<JsonView> json);

std::unique_ptr<Decoder> make_byte_level_decoder(JsonView json);
std::unique_ptr<Decoder> make_byte_fallback(JsonView json);
std::unique_ptr<Decoder> make_word_piece_decoder(JsonView json);
std::unique_ptr<Decoder> make_metaspace_decoder(JsonView json);
std::unique_ptr<Decoder> make_bpe_decoder(JsonView json);
std::unique_ptr<Decoder> make_ctc_decoder(JsonView json);
std::unique_ptr<Decoder> make_replace_decoder(JsonView json);
std::unique_ptr<Decoder> make_fuse(JsonView json);
std::unique_ptr<Decoder> make_strip_decoder(JsonView json);
std::unique_ptr<Decoder> make_join_with_spaces();

// A stream that waits for whole tokens and hands each to token().
class WholeTokenStream : public TokenStream {
 public:
  explicit WholeTokenStream(TokenStream& next) : next_(next) {}
  void text(std::string_view fragment) final { token_.append(fragment); }
  void end_token() final {
    token(token_);
    token_.clear();
  }
  void finish() override { next_.finish(); }

 protected:
  virtual void token(std::string& token) = 0;
  void pass_on(std::string_view token) {
    next_.text(token);
    next_.end_token();
  }
  TokenStream& next_;

 private:
  std::string token_;
};

}  // namespace ashlar::text
