// The symbols byte-pair encoding starts from: the tokens of single characters, with byte tokens
// (<0x0A>) or the unknown token for characters that have none. The key merging_characters, which
// only vocabularies of SentencePiece in GGUF need, lists characters that merge although they are no
// tokens; their symbols lie beyond the vocabulary's ids.
#pragma once

#include "ashlar/text/json_view.h"
#include "ashlar/text/vocabulary.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace ashlar::text {

class BpeSymbols {
 public:
  BpeSymbols(JsonView json, const Vocabulary& vocabulary);

  // Appends the symbols of UTF-8 text. A character without any symbol is left out, as in Hugging
  // Face tokenizers. Throws Error when the unknown token is needed and is not in the vocabulary.
  void append(std::string_view text, std::vector<int32_t>& symbols) const;

  // Takes what is left of merging characters out of a merged word, as append() does with characters
  // without symbols.
  void spell_out(std::vector<int32_t>& symbols) const;

  // The symbol of a token or a merging character.
  std::optional<int32_t> find(std::string_view text) const;
  bool is_token(int32_t symbol) const { return symbol < vocabulary_.id_limit(); }

  // Of a single character, -1 if none. Only when !has_affixes().
  int32_t of_char(char32_t c) const {
    if (c < kTable) return low_[c];
    const auto found = high_.find(c);
    return found != high_.end() ? found->second : -1;
  }
  // Of a byte in GPT-2's alphabet, -1 if none.
  int32_t of_byte(uint8_t byte) const { return bytes_[byte]; }
  bool has_all_bytes() const { return has_all_bytes_; }
  // Whether symbols depend on their place in the word (continuing_subword_prefix and the like).
  bool has_affixes() const { return !prefix_.empty() || !suffix_.empty(); }
  const std::string& prefix() const { return prefix_; }

 private:
  static constexpr char32_t kTable = 0x3000;
  class Output;
  void add_merging_characters(JsonView characters);
  bool append_fallback(std::string_view text, std::vector<int32_t>& symbols) const;

  const Vocabulary& vocabulary_;
  std::string prefix_, suffix_;
  std::optional<std::string> unknown_text_;
  std::optional<int32_t> unknown_;
  bool fuse_unknown_, byte_fallback_;
  std::vector<int32_t> low_;
  std::unordered_map<char32_t, int32_t> high_;
  std::array<int32_t, 256> bytes_;
  std::array<int32_t, 256> fallback_;  // <0x00> to <0xFF> if the model falls back to bytes
  bool has_all_bytes_ = true;
  std::vector<std::string> merging_;  // by symbol, from id_limit() on
};

}  // namespace ashlar::text
