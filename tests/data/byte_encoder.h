// The plainest Encoder: a token is a byte, 256 ends a document, 257 may begin one. Its chat
// template writes "[role]content\n" for a turn and asks for the next with "[assistant]".
#pragma once

#include "ashlar/data/encoder.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace ashlar::data::testing {

class ByteEncoder : public Encoder {
 public:
  static constexpr int32_t kEnd = 256, kBegin = 257;

  void encode(std::string_view text, std::vector<int32_t>& out) const override {
    ++calls;
    for (const char c : text) out.push_back(static_cast<unsigned char>(c));
  }
  RenderedChat render_chat(const std::string& messages, const std::string& tools,
                           bool add_generation_prompt) const override;
  int64_t vocab_size() const override { return vocab; }
  std::span<const int32_t> document_begin() const override { return begin; }
  int32_t document_end() const override { return end; }
  uint64_t fingerprint() const override { return print; }

  int64_t vocab = 258;
  std::vector<int32_t> begin;
  int32_t end = kEnd;
  uint64_t print = 7;
  enum class Template { kPlain, kMarked, kForgetful, kOddPrompt, kNone } chat = Template::kPlain;
  mutable std::atomic<int64_t> calls = 0;
};

// Tokens as text: bytes as they are, <e> for the end, <b> for the beginning.
std::string spell(std::span<const int32_t> tokens);

}  // namespace ashlar::data::testing
