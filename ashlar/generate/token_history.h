// The tokens of a sequence as penalties see them.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>

namespace ashlar::generate {

class TokenHistory {
 public:
  void add_prompt(std::span<const int32_t> tokens) {
    for (const int32_t token : tokens) generated_.try_emplace(token, 0);
  }
  void add_generated(int32_t token) { ++generated_[token]; }

  // Every token that occurred, with how often it was generated.
  const std::unordered_map<int32_t, int64_t>& tokens() const { return generated_; }

 private:
  std::unordered_map<int32_t, int64_t> generated_;
};

}  // namespace ashlar::generate
