// The tokens of a model: string to id and back. Strings lie in one block; look-up is one hash and,
// nearly always, one comparison.
#pragma once

#include "ashlar/text/json_view.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ashlar::text {

// Largest id any vocabulary may use; far above those in use, low enough to index by.
inline constexpr int32_t kMaxTokenId = (1 << 24) - 1;

class Vocabulary {
 public:
  Vocabulary() = default;
  // {"token": id, ...}. Throws Error for two tokens with one id, an id out of range, or ids so
  // sparse that most are holes.
  static Vocabulary from_json(JsonView json);

  // True unless the token or the id is taken.
  bool add(std::string_view token, int32_t id);

  // A token that is there already, under one more id: from now on the one that find() gives.
  void add_again(std::string_view token, int32_t id);

  // Tokens, and one more than the largest id (ids may have holes).
  int32_t size() const { return count_; }
  int32_t id_limit() const { return static_cast<int32_t>(entries_.size()); }

  std::optional<int32_t> find(std::string_view token) const;
  // The token's text; nullopt for an id that has none.
  std::optional<std::string_view> token(int32_t id) const;

 private:
  struct Entry {
    uint64_t offset = 0;
    int64_t length = -1;  // -1: a hole
  };
  void put(std::string_view token, int32_t id);
  size_t slot_of(std::string_view token) const;
  void grow();

  std::string bytes_;
  std::vector<Entry> entries_;  // by id
  std::vector<int32_t> slots_;  // open addressing; -1: free
  int32_t count_ = 0;
};

}  // namespace ashlar::text
