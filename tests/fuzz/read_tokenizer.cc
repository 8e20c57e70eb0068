#include "ashlar/base/error.h"
#include "ashlar/text/detokenizer.h"
#include "ashlar/text/tokenizer.h"
#include "tests/fuzz/inputs.h"

#include <optional>
#include <string>
#include <vector>

namespace ashlar::testing {
namespace {

constexpr std::string_view kTexts[] = {
    "",
    "a",
    "  Hello  World's <s>[MASK]</s> 12345.6\n\n\tend ",
    "\u00c9cole e\u0301t\u00e9 \u4e2d\u6587 \u200d\U0001f469\u200d\U0001f680 \ufb01 \u0130\u00df",
    "\xff\x80 broken",
};

void use(const text::Tokenizer& tokenizer, std::string_view text) {
  const std::vector<int32_t> ids = tokenizer.encode(text, true);
  for (const int32_t id : ids) tokenizer.id_to_token(id);
  text::Detokenizer detokenizer(tokenizer, false);
  std::string streamed;
  for (const int32_t id : ids) streamed += detokenizer.push(id);
  streamed += detokenizer.finish();
  if (streamed != tokenizer.decode(ids, false)) fail("streaming gives another text");
  tokenizer.decode_bytes(ids, true);
  tokenizer.encode_pair(text, kTexts[1], true);
}

}  // namespace

void read_tokenizer(std::string_view bytes) {
  std::optional<text::Tokenizer> tokenizer;
  try {
    tokenizer = text::Tokenizer::from_json(bytes, "fuzz");
  } catch (const Error&) {
    return;
  }
  for (const std::string_view text : kTexts) {
    try {
      use(*tokenizer, text);
    } catch (const Error&) {
    }
  }
}

}  // namespace ashlar::testing
