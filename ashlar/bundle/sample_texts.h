// Texts on which two tokenizers that differ mostly show it: words, numbers, spaces, signs, scripts.
// They are composed (NFC), so that a normalizer that composes does not matter.
#pragma once

#include "ashlar/text/tokenizer.h"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ashlar::bundle {

std::span<const std::string_view> sample_texts();

// What each token of a vocabulary spells, where that is text: a rule of a tokenizer's own has left
// tokens there that others cut.
std::vector<std::string> vocabulary_texts(const text::Tokenizer& tokenizer);

}  // namespace ashlar::bundle
