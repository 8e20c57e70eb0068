// Token ids as people type them: 1,2,3.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ashlar::cli {

// Whole numbers with commas or spaces between them, brackets around them if you like. Throws
// UsageError naming `where`.
std::vector<int32_t> parse_token_ids(std::string_view text, const std::string& where);

// Throws Error for the first id that the vocabulary does not have.
void check_token_ids(std::span<const int32_t> ids, int64_t vocab_size);

}  // namespace ashlar::cli
