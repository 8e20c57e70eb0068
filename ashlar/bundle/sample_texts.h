// Texts on which two tokenizers that differ mostly show it: words, numbers, spaces, signs, scripts.
// They are composed (NFC), so that a normalizer that composes does not matter.
#pragma once

#include <span>
#include <string_view>

namespace ashlar::bundle {

std::span<const std::string_view> sample_texts();

}  // namespace ashlar::bundle
