// A byte-level BPE tokenizer as tokenizer.json text, in the form Hugging Face tokenizers writes.
#pragma once

#include "ashlar/text/pre_tokenizers/word_patterns.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ashlar::text {

struct ByteLevelBpe {
  std::vector<std::string> tokens;  // by id, in GPT-2's byte characters
  std::vector<std::pair<int32_t, int32_t>> merges;
  int32_t special_tokens = 0;  // the first so many tokens are special
  std::string begin_token;     // put before every text; empty: none
  WordPattern pattern = WordPattern::kLlama3;
};

std::string tokenizer_json(const ByteLevelBpe& bpe);

}  // namespace ashlar::text
