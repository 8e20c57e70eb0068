// Tokens found in the text itself before it is cut into words: special ones (<|endoftext|>) and
// others a user added (section `added_tokens` of tokenizer.json). The longest of those that start
// first wins.
#pragma once

#include "ashlar/text/json_view.h"
#include "ashlar/text/normalizers/normalizer.h"
#include "ashlar/text/vocabulary.h"

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace ashlar::text {

struct AddedToken {
  std::string content;
  std::string decoded;  // what a decoder gets: the content, normalized where the token is
  int32_t id = 0;
  bool single_word = false;  // not inside a longer word
  bool lstrip = false;       // takes the white space before it along
  bool rstrip = false;       // and after it
  bool normalized = false;   // looked for in normalized text
  bool special = false;      // left out by decode when asked to
};

// Finds strings in text: at each place the longest.
class StringTrie {
 public:
  StringTrie();
  // Of equal strings the first counts.
  void add(std::string_view text, int32_t value);
  bool empty() const { return nodes_.empty(); }

  struct Match {
    size_t begin, end;
    int32_t value;
  };
  // The first match that begins at or after `from`.
  std::optional<Match> find(std::string_view text, size_t from) const;

 private:
  struct Node {
    char byte;
    int32_t value = -1, child = -1, sibling = -1;
  };
  std::array<int32_t, 256> roots_;
  std::vector<Node> nodes_;
};

class AddedTokens {
 public:
  AddedTokens() = default;
  // Throws Error for an id or content given twice, or one that contradicts the vocabulary.
  // normalizer may be null.
  AddedTokens(std::optional<JsonView> json, const Vocabulary& vocabulary,
              const Normalizer* normalizer);

  const std::vector<AddedToken>& tokens() const { return tokens_; }
  const AddedToken* find(std::string_view content) const;
  const AddedToken* find(int32_t id) const;

  // Which tokens to look for: those in raw text, or those in normalized text.
  enum class Stage { kRaw, kNormalized };
  bool any(Stage stage) const { return !trie(stage).empty(); }
  // Calls visit(part, token) for every part of the text in order: token is null for text between
  // added tokens.
  void each_part(std::string_view text, Stage stage,
                 const std::function<void(std::string_view, const AddedToken*)>& visit) const;

 private:
  const StringTrie& trie(Stage stage) const { return stage == Stage::kRaw ? raw_ : normalized_; }

  std::vector<AddedToken> tokens_;
  std::unordered_map<std::string, size_t> by_content_;
  std::unordered_map<int32_t, size_t> by_id_;
  StringTrie raw_, normalized_;
};

}  // namespace ashlar::text
