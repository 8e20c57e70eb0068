#include "tests/bundle/vocabulary_sweep.h"

#include "ashlar/base/error.h"
#include "ashlar/bundle/gguf_tokenizer.h"
#include "ashlar/text/tokenizer.h"
#include "tests/text/streamed.h"

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

namespace ashlar::testing {
namespace {

formats::GgufMetadata metadata_of(const nlohmann::json& golden) {
  formats::GgufMetadata metadata("vocabulary");
  metadata.set("tokenizer.ggml.model", golden.at("model").get<std::string>());
  metadata.set_texts("tokenizer.ggml.tokens", golden.at("tokens"));
  metadata.set_i32s("tokenizer.ggml.token_type", golden.at("kinds"));
  const auto scores = golden.at("scores").get<std::vector<float>>();  // as a file holds them
  metadata.set_f32s("tokenizer.ggml.scores", {scores.begin(), scores.end()});
  for (const auto& [role, id] : golden.at("ids").items()) {
    metadata.set_u32("tokenizer.ggml." + role + "_token_id", id.get<int64_t>());
  }
  for (const auto& [key, value] : golden.at("flags").items()) metadata.set(key, value.get<bool>());
  return metadata;
}

}  // namespace

void compare_with_llamacpp(const nlohmann::json& golden, SweepResult& result) {
  const auto tokenizer =
      text::Tokenizer::from_json(bundle::tokenizer_json(metadata_of(golden)), "vocabulary");
  for (const auto& item : golden.at("cases")) {
    const auto text = item[0].get<std::string>();
    const auto wanted = item[2].get<std::vector<int32_t>>();
    const std::vector<int32_t> found = tokenizer.encode(text, item[1].get<bool>());
    ++result.checked;
    if (text::streamed(tokenizer, found, false) != tokenizer.decode(found, false)) {
      result.differences.push_back(fmt::format("{}: another text as a stream", item[0].dump()));
    }
    if (found == wanted) continue;
    const auto shown = [&](const std::vector<int32_t>& ids) {
      std::vector<std::string> tokens;
      for (const int32_t id : ids) tokens.emplace_back(tokenizer.id_to_token(id).value_or("-"));
      return fmt::format("{}", tokens);
    };
    result.differences.push_back(fmt::format("{} {} {} {}: found {}, wanted {}",
                                             golden.at("model").get<std::string>(),
                                             golden.at("flags").dump(), golden.at("ids").dump(),
                                             item[0].dump(), shown(found), shown(wanted)));
  }
}

}  // namespace ashlar::testing
