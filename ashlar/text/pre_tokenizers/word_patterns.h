// The three word patterns most models use, matched by hand: an order of magnitude faster than a
// regular expression, and equal to it (tests/text/word_patterns_test.cc).
#pragma once

#include <optional>
#include <string_view>

namespace ashlar::text {

enum class WordPattern { kGpt2, kLlama3, kQwen2 };

// The regular expression, as tokenizer.json files write it.
std::string_view regex_of(WordPattern pattern);
std::optional<WordPattern> word_pattern_from_regex(std::string_view regex);

// Bytes of the word at the start of text: the regular expression's match there, which always
// exists. text is well-formed UTF-8 and not empty.
size_t match_word(WordPattern pattern, std::string_view text);

}  // namespace ashlar::text
