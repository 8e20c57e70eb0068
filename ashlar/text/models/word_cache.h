// Remembers the tokens of words met before. One slot per hash value, the last word wins: bounded
// memory, no list to keep, and a word and its tokens fill exactly one cache line. One a thread.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace ashlar::text {

class WordCache {
 public:
  static constexpr size_t kMaxBytes = 30;
  static constexpr size_t kMaxTokens = 8;

  WordCache() : slots_(kSlots) {}

  // word is not empty and at most kMaxBytes long. Empty result: not known. The span lives until the
  // next store.
  std::span<const int32_t> find(std::string_view word) const {
    const Slot& slot = slots_[slot_of(word)];
    if (slot.bytes != word.size() || std::memcmp(slot.word, word.data(), word.size()) != 0) {
      return {};
    }
    return {slot.ids, slot.tokens};
  }

  void store(std::string_view word, std::span<const int32_t> ids) {
    if (ids.empty() || ids.size() > kMaxTokens) return;
    Slot& slot = slots_[slot_of(word)];
    slot.bytes = static_cast<uint8_t>(word.size());
    slot.tokens = static_cast<uint8_t>(ids.size());
    std::memcpy(slot.word, word.data(), word.size());
    std::memcpy(slot.ids, ids.data(), ids.size_bytes());
  }

 private:
  static constexpr int kSlotBits = 15;
  static constexpr size_t kSlots = size_t{1} << kSlotBits;  // 2 MiB
  struct alignas(64) Slot {
    uint8_t bytes = 0;  // 0: free
    uint8_t tokens = 0;
    char word[kMaxBytes];
    int32_t ids[kMaxTokens];
  };
  static_assert(sizeof(Slot) == 64);

  static size_t slot_of(std::string_view word) {
    constexpr uint64_t kOdd = 0x9E3779B97F4A7C15ull;
    uint64_t hash = word.size();
    const char* p = word.data();
    size_t left = word.size();
    for (; left >= 8; p += 8, left -= 8) {
      uint64_t chunk;
      std::memcpy(&chunk, p, 8);
      hash = (hash ^ chunk) * kOdd;
      hash ^= hash >> 29;
    }
    uint64_t tail = 0;
    if ((left & 4) != 0) {
      uint32_t chunk;
      std::memcpy(&chunk, p, 4);
      tail = chunk;
      p += 4;
    }
    if ((left & 2) != 0) {
      uint16_t chunk;
      std::memcpy(&chunk, p, 2);
      tail = tail << 16 | chunk;
      p += 2;
    }
    if ((left & 1) != 0) tail = tail << 8 | static_cast<unsigned char>(*p);
    return static_cast<size_t>(((hash ^ tail) * kOdd) >> (64 - kSlotBits));
  }

  std::vector<Slot> slots_;
};

}  // namespace ashlar::text
