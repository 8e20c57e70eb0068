// What a Detokenizer says of ids that come one by one.
#pragma once

#include "ashlar/text/tokenizer.h"
#include "tests/text/random_text.h"

#include <cstdint>
#include <string>
#include <vector>

namespace ashlar::text {

// All its pieces in a row; Error where one of them is not whole characters.
std::string streamed(const Tokenizer& tokenizer, const std::vector<int32_t>& ids,
                     bool skip_special_tokens);

// Up to max_count ids, some of them beyond the vocabulary: models pad theirs.
std::vector<int32_t> random_ids(const Tokenizer& tokenizer, RandomText& random, uint64_t max_count);

}  // namespace ashlar::text
