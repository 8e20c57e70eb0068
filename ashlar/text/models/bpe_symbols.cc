#include "ashlar/text/models/bpe_symbols.h"

#include "ashlar/base/error.h"
#include "ashlar/base/utf8.h"
#include "ashlar/text/byte_chars.h"

#include <algorithm>
#include <utility>

namespace ashlar::text {

// Tokens on their way out. The last unknown character waits here, since more of them may join it
// into one token. Byte tokens do not end the wait: the reference's order, whatever one thinks of
// it.
class BpeSymbols::Output {
 public:
  Output(const BpeSymbols& symbols, std::vector<int32_t>& out) : symbols_(symbols), out_(out) {}
  ~Output() { flush(); }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  void token(int32_t id) {
    flush();
    out_.push_back(id);
  }

  void missing(std::string_view text) {
    if (symbols_.append_fallback(text, out_) || !symbols_.unknown_text_) return;
    ASHLAR_CHECK(symbols_.unknown_,
                 "BPE model: \"{}\" has no token and unk_token \"{}\" is not in the vocabulary",
                 text, *symbols_.unknown_text_);
    if (!symbols_.fuse_unknown_) flush();
    waiting_ = true;
  }

 private:
  void flush() {
    if (waiting_) out_.push_back(*symbols_.unknown_);
    waiting_ = false;
  }

  const BpeSymbols& symbols_;
  std::vector<int32_t>& out_;
  bool waiting_ = false;
};

BpeSymbols::BpeSymbols(JsonView json, const Vocabulary& vocabulary)
    : vocabulary_(vocabulary),
      prefix_(json.string_or("continuing_subword_prefix", "")),
      suffix_(json.string_or("end_of_word_suffix", "")),
      fuse_unknown_(json.boolean_or("fuse_unk", false)),
      byte_fallback_(json.boolean_or("byte_fallback", false)),
      low_(kTable, -1) {
  if (const auto unknown = json.find("unk_token")) {
    unknown_text_ = unknown->string();
    unknown_ = vocabulary.find(*unknown_text_);
  }
  for (int32_t id = 0; id < vocabulary.id_limit(); ++id) {
    const std::string_view token = vocabulary.token(id).value_or("");
    if (token.empty() || utf8_length(token[0]) != token.size()) continue;
    const char32_t c = decode_utf8(token.data()).value;
    if (c < kTable) {
      low_[c] = id;
    } else {
      high_[c] = id;
    }
  }
  for (unsigned byte = 0; byte < 256; ++byte) {
    bytes_[byte] = of_char(byte_char(static_cast<uint8_t>(byte)));
    has_all_bytes_ = has_all_bytes_ && bytes_[byte] >= 0 && !has_affixes();
    fallback_[byte] =
        byte_fallback_ ? vocabulary.find(fmt::format("<0x{:02X}>", byte)).value_or(-1) : -1;
  }
  if (const auto characters = json.find("merging_characters")) add_merging_characters(*characters);
}

void BpeSymbols::append(std::string_view text, std::vector<int32_t>& symbols) const {
  Output output(*this, symbols);
  std::string affixed;
  for (size_t at = 0; at < text.size();) {
    const DecodedChar c = decode_utf8(text.data() + at);
    std::string_view symbol = text.substr(at, c.length);
    int32_t id;
    if (has_affixes()) {
      affixed.assign(at == 0 ? "" : prefix_).append(symbol);
      if (at + c.length == text.size()) affixed += suffix_;
      symbol = affixed;
      id = vocabulary_.find(symbol).value_or(-1);
    } else {
      id = of_char(c.value);
    }
    at += c.length;
    if (id >= 0) {
      output.token(id);
    } else {
      output.missing(symbol);
    }
  }
}

void BpeSymbols::spell_out(std::vector<int32_t>& symbols) const {
  if (merging_.empty() ||
      std::ranges::all_of(symbols, [this](int32_t symbol) { return is_token(symbol); })) {
    return;
  }
  const std::vector<int32_t> merged = std::exchange(symbols, {});
  Output output(*this, symbols);
  for (const int32_t symbol : merged) {
    if (is_token(symbol)) {
      output.token(symbol);
    } else {
      output.missing(merging_[static_cast<size_t>(symbol - vocabulary_.id_limit())]);
    }
  }
}

std::optional<int32_t> BpeSymbols::find(std::string_view text) const {
  if (const auto id = vocabulary_.find(text); id || merging_.empty()) return id;
  if (text.empty() || utf8_length(text[0]) != text.size()) return std::nullopt;
  const int32_t symbol = of_char(decode_utf8(text.data()).value);
  return symbol < 0 ? std::nullopt : std::optional(symbol);
}

void BpeSymbols::add_merging_characters(JsonView characters) {
  for (size_t i = 0; i < characters.size(); ++i) {
    const std::string_view text = characters.element(i).string();
    if (has_affixes() || text.empty() || utf8_length(text[0]) != text.size() ||
        vocabulary_.find(text)) {
      characters.element(i).fail("wanted a character that is no token, in a model without affixes");
    }
    const char32_t c = decode_utf8(text.data()).value;
    const int32_t symbol = vocabulary_.id_limit() + static_cast<int32_t>(merging_.size());
    if (c < kTable) {
      low_[c] = symbol;
    } else {
      high_[c] = symbol;
    }
    merging_.emplace_back(text);
  }
}

bool BpeSymbols::append_fallback(std::string_view text, std::vector<int32_t>& symbols) const {
  if (!byte_fallback_) return false;
  const size_t before = symbols.size();
  for (const char byte : text) {
    const int32_t id = fallback_[static_cast<uint8_t>(byte)];
    if (id < 0) {
      symbols.resize(before);
      return false;
    }
    symbols.push_back(id);
  }
  return true;
}

}  // namespace ashlar::text
