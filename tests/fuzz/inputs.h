// What a fuzzer does with one input: parse it as a user's file is parsed, then use what was
// accepted. Error is the only exception that may leave a parser; each function catches it, and
// nothing else.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace ashlar::testing {

void read_safetensors(std::string_view bytes);
void read_gguf(std::string_view bytes);       // its tokenizer, templates and description too
void read_tokenizer(std::string_view bytes);  // a tokenizer.json; then texts there and back
void read_config(std::string_view bytes);     // of a decoder and of an encoder
void read_template(std::string_view bytes);   // and renders a conversation

}  // namespace ashlar::testing
