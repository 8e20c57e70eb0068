#include "tests/text/streamed.h"

#include "ashlar/base/error.h"
#include "ashlar/base/utf8.h"
#include "ashlar/text/detokenizer.h"

namespace ashlar::text {

std::string streamed(const Tokenizer& tokenizer, const std::vector<int32_t>& ids,
                     bool skip_special_tokens) {
  Detokenizer detokenizer(tokenizer, skip_special_tokens);
  std::string text;
  const auto say = [&](const std::string& piece) {
    ASHLAR_CHECK(valid_utf8_prefix(piece) == piece.size(), "a piece is cut in a character: {}",
                 piece);
    text += piece;
  };
  for (const int32_t id : ids) say(detokenizer.push(id));
  say(detokenizer.finish());
  return text;
}

std::vector<int32_t> random_ids(const Tokenizer& tokenizer, RandomText& random,
                                uint64_t max_count) {
  std::vector<int32_t> ids(random.below(max_count + 1));
  for (int32_t& id : ids) {
    id = static_cast<int32_t>(random.below(static_cast<uint64_t>(tokenizer.vocab_size()) + 8));
  }
  return ids;
}

}  // namespace ashlar::text
