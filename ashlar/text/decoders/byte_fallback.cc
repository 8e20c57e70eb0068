// ByteFallback: runs of byte tokens (<0xE4><0xB8><0xAD>) become the text they spell. A run that is
// not UTF-8 gives one U+FFFD for each byte, so a run is known only at its end.
#include "ashlar/base/utf8.h"
#include "ashlar/text/decoders/decoder.h"

#include <charconv>

namespace ashlar::text {
namespace {

// -1 when the token is no byte token.
int byte_of(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || !token.ends_with('>')) return -1;
  int byte = 0;
  const char* const end = token.data() + 5;
  const auto result = std::from_chars(token.data() + 3, end, byte, 16);
  return result.ec == std::errc() && result.ptr == end && byte >= 0 ? byte : -1;
}

class Stream : public WholeTokenStream {
 public:
  using WholeTokenStream::WholeTokenStream;

  void finish() override {
    flush();
    WholeTokenStream::finish();
  }

 protected:
  void token(std::string& token) override {
    const int byte = byte_of(token);
    if (byte >= 0) {
      run_.push_back(static_cast<char>(byte));
    } else {
      flush();
      pass_on(token);
    }
  }

 private:
  void flush() {
    if (run_.empty()) return;
    if (valid_utf8_prefix(run_) == run_.size()) {
      pass_on(run_);
    } else {
      for (size_t i = 0; i < run_.size(); ++i) pass_on(kReplacementUtf8);
    }
    run_.clear();
  }

  std::string run_;
};

class ByteFallback : public Decoder {
 public:
  std::unique_ptr<TokenStream> open(TokenStream& next, IllFormed) const override {
    return std::make_unique<Stream>(next);
  }
};

}  // namespace

std::unique_ptr<Decoder> make_byte_fallback(JsonView) { return std::make_unique<ByteFallback>(); }

}  // namespace ashlar::text
