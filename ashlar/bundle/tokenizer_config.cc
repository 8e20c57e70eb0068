#include "ashlar/bundle/tokenizer_config.h"

#include "ashlar/base/file.h"
#include "ashlar/base/json.h"
#include "ashlar/base/log.h"
#include "ashlar/base/shown_text.h"

#include <nlohmann/json.hpp>

namespace ashlar::bundle {

namespace {

// An empty object where there is none.
nlohmann::json read_config(const std::string& file) {
  if (!is_file(file)) return nlohmann::json::object();
  return parse_json<nlohmann::json>(read_json_text(file), file);
}

std::string config_of(const std::string& folder) {
  return join_path(folder, "tokenizer_config.json");
}

}  // namespace

std::optional<bool> tokenizer_flag(const std::string& folder, const char* key) {
  const nlohmann::json config = read_config(config_of(folder));
  const auto flag = config.find(key);
  if (flag == config.end() || !flag->is_boolean()) return std::nullopt;
  return flag->get<bool>();
}

void note_other_tokens(const std::string& folder, const text::Tokenizer& tokenizer) {
  const std::string file = config_of(folder);
  const nlohmann::json config = read_config(file);
  const auto added = config.find("added_tokens_decoder");
  if (added == config.end() || !added->is_object()) return;
  int64_t missing = 0;
  std::string first;
  for (const auto& [id, token] : added->items()) {
    const auto content = token.is_object() ? token.find("content") : token.end();
    if (!token.is_object() || content == token.end() || !content->is_string()) continue;
    const std::string text = content->get<std::string>();
    if (tokenizer.token_to_id(text)) continue;
    if (missing++ == 0) first = shown_text(text);
  }
  if (missing == 0) return;
  log::warn(
      "file={} note=\"{} tokens of added_tokens_decoder are not in tokenizer.json, the first is "
      "{}: "
      "here they are cut as other text is\"",
      file, missing, first);
}

}  // namespace ashlar::bundle
