#include "ashlar/cli/token_ids.h"

#include "ashlar/base/error.h"

#include <algorithm>
#include <charconv>

namespace ashlar::cli {

std::vector<int32_t> parse_token_ids(std::string_view text, const std::string& where) {
  constexpr std::string_view kBetween = ", \t\r\n[]";
  std::vector<int32_t> ids;
  for (size_t at = text.find_first_not_of(kBetween); at != std::string_view::npos;) {
    const size_t end = std::min(text.find_first_of(kBetween, at), text.size());
    const std::string_view word = text.substr(at, end - at);
    int32_t id = 0;
    const auto [stop, error] = std::from_chars(word.data(), word.data() + word.size(), id);
    if (error != std::errc() || stop != word.data() + word.size()) {
      fail_usage("{}: '{}' is not a token id; give whole numbers, as in 1,2,3", where,
                 word.substr(0, 40));
    }
    ids.push_back(id);
    at = text.find_first_not_of(kBetween, end);
  }
  if (ids.empty()) fail_usage("{}: no token ids; give whole numbers, as in 1,2,3", where);
  return ids;
}

void check_token_ids(std::span<const int32_t> ids, int64_t vocab_size) {
  for (size_t i = 0; i < ids.size(); ++i) {
    ASHLAR_CHECK(ids[i] >= 0 && ids[i] < vocab_size,
                 "token id {} at position {} is beyond the vocabulary: ids go from 0 to {}", ids[i],
                 i, vocab_size - 1);
  }
}

}  // namespace ashlar::cli
