#include "ashlar/bundle/tokenizer_config.h"

#include "ashlar/base/file.h"
#include "ashlar/base/json.h"
#include "ashlar/base/log.h"
#include "ashlar/base/shown_text.h"

#include <nlohmann/json.hpp>

namespace ashlar::bundle {

void note_other_tokens(const std::string& folder, const text::Tokenizer& tokenizer) {
  const std::string file = join_path(folder, "tokenizer_config.json");
  if (!is_file(file)) return;
  const auto config = parse_json<nlohmann::json>(read_json_text(file), file);
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
