#include "ashlar/bundle/tokenizer_config.h"

#include "ashlar/base/file.h"
#include "ashlar/base/json.h"
#include "ashlar/base/log.h"
#include "ashlar/base/shown_text.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <vector>

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

// Flags on which a text's ids depend.
bool has_other_flags(const nlohmann::json& token, const text::AddedToken& found) {
  const auto differs = [&](const char* key, bool value) {
    const auto flag = token.find(key);
    return flag != token.end() && flag->is_boolean() && *flag != value;
  };
  return differs("lstrip", found.lstrip) || differs("rstrip", found.rstrip) ||
         differs("single_word", found.single_word);
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
  std::vector<std::string> missing, others;
  for (const auto& [id, token] : added->items()) {
    const auto content = token.is_object() ? token.find("content") : token.end();
    if (!token.is_object() || content == token.end() || !content->is_string()) continue;
    const std::string text = content->get<std::string>();
    const auto& known = tokenizer.added_tokens();
    const auto found = std::ranges::find(known, text, &text::AddedToken::content);
    if (!tokenizer.token_to_id(text)) {
      missing.push_back(text);
    } else if (found != known.end() && has_other_flags(token, *found)) {
      others.push_back(text);
    }
  }
  const auto note = [&](const std::vector<std::string>& tokens, const char* what) {
    if (tokens.empty()) return;
    log::warn("file={} note=\"{} tokens of added_tokens_decoder {}, the first is {}\"", file,
              tokens.size(), what, shown_text(tokens.front()));
  };
  note(missing, "are not in tokenizer.json and are cut here as other text is");
  note(others, "have other flags than in tokenizer.json, which counts here");
}

}  // namespace ashlar::bundle
