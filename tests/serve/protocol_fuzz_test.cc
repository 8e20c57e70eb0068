#include "ashlar/base/philox.h"
#include "ashlar/serve/protocol/chat.h"
#include "ashlar/serve/protocol/completions.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ashlar::serve {
namespace {

using Parse = GenerateCall (*)(std::string_view, const RequestRules&);

// Whatever comes, parsing ends with a request or a RequestError.
TEST(ProtocolFuzz, MutatedBodiesNeverBreakParsing) {
  const std::vector<std::string> seeds = {
      R"({"prompt": "hi", "n": 3, "stop": ["x"], "logit_bias": {"5": 1}, "logprobs": 2})",
      R"({"messages": [{"role": "user", "content": "hi"}], "logprobs": true, "stream": true,
          "seed": 12, "stream_options": {"include_usage": true}})",
      R"({"prompt": [[1, 2], [3, 4]], "temperature": 0.5, "chat_template_kwargs": {"a": [{}]}})",
  };
  constexpr std::string_view kAlphabet = "{}[]\",:0123456789.-+eE\\utrfnNaI \xff\xc3\x80";
  uint32_t accepted = 0, refused = 0;
  for (uint32_t round = 0; round < 10'000; ++round) {
    std::string body = seeds[round % seeds.size()];
    const auto random = philox4x32(7, {round, 0, 0, 0});
    for (uint32_t edit = 0; edit <= random[0] % 4; ++edit) {
      const auto r = philox4x32(7, {round, edit, 1, 0});
      const size_t at = r[0] % body.size();
      const char c = kAlphabet[r[1] % kAlphabet.size()];
      if (r[2] % 3 == 0) {
        body.erase(at, 1 + r[3] % 5);
      } else if (r[2] % 3 == 1) {
        body.insert(at, 1, c);
      } else {
        body[at] = c;
      }
      if (body.empty()) body = " ";
    }
    for (const Parse parse : {Parse{parse_completion}, Parse{parse_chat}}) {
      try {
        parse(body, {});
        ++accepted;
      } catch (const RequestError&) {
        ++refused;
      }
    }
  }
  EXPECT_GT(accepted, 100U);
  EXPECT_GT(refused, 5'000U);
}

}  // namespace
}  // namespace ashlar::serve
