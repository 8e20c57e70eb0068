#include "tests/text/sweep.h"

#include "ashlar/base/error.h"
#include "ashlar/text/tokenizer.h"
#include "tests/text/streamed.h"

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

namespace ashlar::text {
namespace {

using Ids = std::vector<int32_t>;
using Json = nlohmann::json;

// The tokenizer less its vocabulary, which is long.
std::string title(Json tokenizer) {
  Json& model = tokenizer.at("model");
  for (const char* key : {"vocab", "merges"}) model.erase(key);
  for (const char* key : {"version", "normalizer", "pre_tokenizer", "post_processor", "decoder",
                          "truncation", "padding", "added_tokens"}) {
    if (tokenizer.at(key).empty() || key == std::string_view("version")) tokenizer.erase(key);
  }
  return tokenizer.dump(-1, ' ', true);
}

std::vector<Encoding> encode(const Tokenizer& tokenizer, const Json& item) {
  const auto texts = item.at("texts").get<std::vector<std::string>>();
  const bool special = item.at("special").get<bool>();
  return texts.size() == 1 ? tokenizer.encode_windows(texts[0], special)
                           : tokenizer.encode_pair_windows(texts[0], texts[1], special);
}

std::vector<Encoding> expected(const Json& item) {
  std::vector<Encoding> windows(1);
  windows[0] = {item.at("ids").get<Ids>(), item.at("type_ids").get<Ids>()};
  if (item.contains("overflowing")) {
    for (const Json& pair : item.at("overflowing")) {
      windows.push_back({pair[0].get<Ids>(), pair[1].get<Ids>()});
    }
  }
  return windows;
}

std::string shown(const std::vector<Encoding>& windows) {
  std::string out;
  for (const Encoding& window : windows) {
    out += fmt::format("{}:{} ", window.ids, window.type_ids);
  }
  return out;
}

}  // namespace

void compare_with_reference(const Json& golden, SweepResult& result) {
  const Json& file = golden.at("tokenizer");
  const auto differ = [&](const Json& item, const std::string& found, const std::string& wanted) {
    result.differences.push_back(fmt::format("{} of {}\n    found  {}\n    wanted {}",
                                             item.dump(-1, ' ', true), title(file), found, wanted));
  };
  std::optional<Tokenizer> tokenizer;
  try {
    tokenizer = Tokenizer::from_json(file.dump(), "sweep");
  } catch (const Error& error) {
    return differ({}, error.what(), "a tokenizer");
  }
  for (const Json& item : golden.at("cases")) {
    try {
      const std::vector<Encoding> windows = encode(*tokenizer, item);
      if (!item.contains("ids")) {
        ++result.refused;
        continue;
      }
      if (windows != expected(item))
        differ(item.at("texts"), shown(windows), shown(expected(item)));
    } catch (const Error& error) {
      if (item.contains("ids")) differ(item, error.what(), "ids");
    }
    ++result.checked;
  }
  for (const Json& item : golden.at("decodes")) {
    const auto ids = item.at("ids").get<Ids>();
    const bool skip = item.at("skip").get<bool>();
    const auto wanted = item.at("text").get<std::string>();
    const std::string found = tokenizer->decode(ids, skip);
    if (found != wanted) {
      std::vector<std::string> tokens;
      for (const int32_t id : ids) tokens.emplace_back(tokenizer->id_to_token(id).value_or("-"));
      differ({{"tokens", tokens}, {"skip", skip}}, Json(found).dump(-1, ' ', true),
             Json(wanted).dump(-1, ' ', true));
    }
    if (streamed(*tokenizer, ids, skip) != found) differ(item, "another text as a stream", found);
    ++result.checked;
  }
}

}  // namespace ashlar::text
