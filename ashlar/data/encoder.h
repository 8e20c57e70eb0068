// What turns documents into tokens: a tokenizer, the tokens that open and close a document, and the
// model's chat template. Every method may be called by several threads at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ashlar::data {

struct RenderedChat {
  struct Span {
    size_t begin = 0, end = 0;
  };
  std::string text;
  // The bytes that the template itself marks as the assistant's ({% generation %}), in order.
  // Empty where it marks none.
  std::vector<Span> answers;
};

class Encoder {
 public:
  virtual ~Encoder() = default;

  // Appends the tokens of well-formed UTF-8, without the ones that open or close a document.
  virtual void encode(std::string_view text, std::vector<int32_t>& out) const = 0;

  // A conversation as the model reads it. messages and tools are JSON arrays; tools may be empty.
  // Throws Error where there is no template or the template refuses.
  virtual RenderedChat render_chat(const std::string& messages, const std::string& tools,
                                   bool add_generation_prompt) const = 0;

  virtual int64_t vocab_size() const = 0;
  virtual std::span<const int32_t> document_begin() const = 0;  // often empty
  virtual int32_t document_end() const = 0;                     // -1: there is none

  // Changes with anything that changes tokens.
  virtual uint64_t fingerprint() const = 0;
};

}  // namespace ashlar::data
