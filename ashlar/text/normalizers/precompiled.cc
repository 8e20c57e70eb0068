// Precompiled: a SentencePiece model's own rules of normalisation, a double-array trie (Aoe 1989,
// in Darts-clone's form) from characters to places in a block of replacements that end with NUL.
// Hugging Face tokenizers looks up graphemes, by the shortest entry that one starts with; with
// "longest_match", a key of ours, the longest entry from each place on counts, as in SentencePiece.
#include "ashlar/base/base64.h"
#include "ashlar/base/error.h"
#include "ashlar/base/utf8.h"
#include "ashlar/text/growth.h"
#include "ashlar/text/normalizers/normalizer.h"
#include "ashlar/text/unicode/graphemes.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>

namespace ashlar::text {
namespace {

// A longer grapheme is looked up character by character, as the reference does it.
constexpr size_t kLongestGrapheme = 5;  // bytes

std::string base64_bytes(JsonView json) {
  try {
    return from_base64(json.string());
  } catch (const Error& error) {
    json.fail(error.what());
  }
}

class Precompiled : public Normalizer {
 public:
  explicit Precompiled(JsonView json) {
    const JsonView charsmap = json.at("precompiled_charsmap");
    const std::string bytes = base64_bytes(charsmap);
    uint32_t trie_bytes = 0;
    if (bytes.size() >= sizeof trie_bytes)
      std::memcpy(&trie_bytes, bytes.data(), sizeof trie_bytes);
    const size_t rest = bytes.size() - std::min(bytes.size(), sizeof trie_bytes);
    if (trie_bytes == 0 || trie_bytes % sizeof(uint32_t) != 0 || trie_bytes > rest) {
      charsmap.fail(
          fmt::format("a trie of {} bytes does not fit into {}", trie_bytes, bytes.size()));
    }
    longest_match_ = json.boolean_or("longest_match", false);
    units_.resize(trie_bytes / sizeof(uint32_t));
    std::memcpy(units_.data(), bytes.data() + sizeof trie_bytes, trie_bytes);
    replacements_ = bytes.substr(sizeof trie_bytes + trie_bytes);
    if (const size_t valid = valid_utf8_prefix(replacements_); valid != replacements_.size()) {
      charsmap.fail(fmt::format("byte {} of the replacements is not UTF-8", valid));
    }
    for (size_t c = 0; c < ascii_.size(); ++c) {
      const char character = static_cast<char>(c);
      ascii_[c] = find({&character, 1});
    }
  }

  void normalize(std::string& text) const override {
    std::string out;
    out.reserve(text.size());
    for (size_t at = 0; longest_match_ && at < text.size();) {
      size_t length = utf8_length(text[at]);
      const std::string_view rest = std::string_view(text).substr(at);
      const auto found = find(rest, &length);
      out.append(found.value_or(rest.substr(0, length)));
      check_growth("Precompiled", text.size(), out.size());
      at += length;
    }
    for (size_t at = 0; !longest_match_ && at < text.size();) {
      const std::string_view grapheme =
          std::string_view(text).substr(at, grapheme_length(std::string_view(text).substr(at)));
      at += grapheme.size();
      if (grapheme.size() <= kLongestGrapheme) {
        if (const auto whole = replacement(grapheme)) {
          out.append(*whole);
          check_growth("Precompiled", text.size(), out.size());
          continue;
        }
      }
      for (size_t i = 0; i < grapheme.size();) {
        const std::string_view c = grapheme.substr(i, utf8_length(grapheme[i]));
        out.append(replacement(c).value_or(c));
        i += c.size();
      }
      check_growth("Precompiled", text.size(), out.size());
    }
    text = std::move(out);
  }

 private:
  // Of one character of ASCII from the table, of others from the trie.
  std::optional<std::string_view> replacement(std::string_view key) const {
    if (key.size() == 1) return ascii_[static_cast<unsigned char>(key[0])];
    return find(key);
  }

  // What the shortest entry that `key` starts with becomes; with `longest`, the longest, whose
  // length it then is. A unit holds its label in the low byte, whether an entry ends behind it in
  // bit 8, and the distance to what follows above.
  std::optional<std::string_view> find(std::string_view key, size_t* longest = nullptr) const {
    std::optional<std::string_view> found;
    size_t read = 0;
    const auto distance = [](uint32_t unit) { return (unit >> 10) << ((unit & (1U << 9)) >> 6); };
    size_t node = distance(units_[0]);
    for (const char c : key) {
      const auto byte = static_cast<unsigned char>(c);
      node ^= byte;
      if (byte == 0 || node >= units_.size()) return found;
      const uint32_t unit = units_[node];
      if ((unit & (1U << 31 | 0xFF)) != byte) return found;
      node ^= distance(unit);
      ++read;
      if ((unit >> 8 & 1) == 0) continue;
      if (longest == nullptr) return text_at(node);
      const std::string_view rest = key.substr(read);
      const bool at_boundary = rest.empty() || (rest.front() & 0xC0) != 0x80;
      if (const auto text = text_at(node); text && at_boundary) {
        found = text;
        *longest = read;
      }
    }
    return found;
  }

  std::optional<std::string_view> text_at(size_t node) const {
    if (node >= units_.size()) return std::nullopt;
    const size_t begin = units_[node] & ~(1U << 31);
    // Behind the block, or inside of a character: not a place that a compiler of rules writes.
    if (begin >= replacements_.size() || (replacements_[begin] & 0xC0) == 0x80) return std::nullopt;
    return std::string_view(replacements_.c_str() + begin);
  }

  bool longest_match_ = false;
  std::vector<uint32_t> units_;
  std::string replacements_;
  std::array<std::optional<std::string_view>, 128> ascii_;
};

}  // namespace

std::unique_ptr<Normalizer> make_precompiled(JsonView json) {
  return std::make_unique<Precompiled>(json);
}

}  // namespace ashlar::text
