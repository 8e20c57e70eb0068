// ByteLevel: each character of a token stands for a byte. A character may be spread over tokens, so
// its first bytes wait for the rest.
#include "ashlar/base/utf8.h"
#include "ashlar/text/byte_chars.h"
#include "ashlar/text/decoders/decoder.h"

namespace ashlar::text {
namespace {

class Stream : public TokenStream {
 public:
  Stream(TokenStream& next, IllFormed ill_formed) : next_(next), ill_formed_(ill_formed) {}

  void text(std::string_view fragment) override { token_.append(fragment); }

  void end_token() override {
    append_bytes_of(token_);
    token_.clear();
    pass_on(whole_prefix());
  }

  void finish() override {
    pass_on(waiting_.size());
    next_.end_token();  // all tokens have become one text
    next_.finish();
  }

 private:
  // A token with a character outside the alphabet (an added token) stands for its own UTF-8.
  void append_bytes_of(std::string_view token) {
    const size_t before = waiting_.size();
    for (size_t at = 0; at < token.size();) {
      const DecodedChar c = decode_utf8(token.data() + at);
      const int byte = char_byte(c.value);
      if (byte < 0) {
        waiting_.resize(before);
        waiting_.append(token);
        return;
      }
      waiting_.push_back(static_cast<char>(byte));
      at += c.length;
    }
  }

  // Bytes waiting up to a character that is cut off at the end.
  size_t whole_prefix() const {
    if (ill_formed_ == IllFormed::kKeep) return waiting_.size();
    const size_t last = waiting_.size() > 3 ? waiting_.size() - 3 : 0;
    for (size_t at = waiting_.size(); at-- > last;) {
      if ((waiting_[at] & 0xC0) == 0x80) continue;
      const auto sequence = scan_utf8(std::string_view(waiting_).substr(at));
      return sequence.kind == Utf8Sequence::kTruncated ? at : waiting_.size();
    }
    return waiting_.size();
  }

  void pass_on(size_t bytes) {
    if (bytes == 0) return;
    const std::string_view ready = std::string_view(waiting_).substr(0, bytes);
    if (ill_formed_ == IllFormed::kKeep) {
      next_.text(ready);
    } else {
      std::string repaired;
      append_repaired_utf8(repaired, ready);
      next_.text(repaired);
    }
    waiting_.erase(0, bytes);
  }

  TokenStream& next_;
  IllFormed ill_formed_;
  std::string token_, waiting_;
};

class ByteLevel : public Decoder {
 public:
  std::unique_ptr<TokenStream> open(TokenStream& next, IllFormed ill_formed) const override {
    return std::make_unique<Stream>(next, ill_formed);
  }
};

}  // namespace

std::unique_ptr<Decoder> make_byte_level_decoder(JsonView) { return std::make_unique<ByteLevel>(); }

}  // namespace ashlar::text
