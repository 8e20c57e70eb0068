#include "ashlar/text/special_tokens.h"

#include "ashlar/text/jinja/value.h"

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <string_view>

namespace ashlar::text {
namespace {

using jinja::Dict;
using jinja::Value;

constexpr std::array<std::string_view, 7> kKnownNames = {
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};

// What a class of transformers has where no file says otherwise, in the order of kKnownNames.
struct ClassTokens {
  std::string_view name;  // of the class, without "Fast"
  std::array<std::string_view, kKnownNames.size()> tokens;
};
constexpr std::string_view kEnd = "<|endoftext|>";
constexpr std::array<ClassTokens, 11> kClasses = {{
    {"LlamaTokenizer", {"<s>", "</s>", "<unk>"}},
    {"CodeLlamaTokenizer", {"<s>", "</s>", "<unk>"}},
    {"GemmaTokenizer", {"<bos>", "<eos>", "<unk>", "", "<pad>", "", "<mask>"}},
    {"GPT2Tokenizer", {kEnd, kEnd, kEnd}},
    {"CodeGenTokenizer", {kEnd, kEnd, kEnd}},
    {"GPTNeoXTokenizer", {kEnd, kEnd, kEnd, "", "<|padding|>"}},
    {"Qwen2Tokenizer", {"", kEnd, kEnd, "", kEnd}},
    {"CohereTokenizer",
     {"<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>", "<UNK>", "<SEP>", "<PAD>", "<CLS>", "<MASK_TOKEN>"}},
    {"BertTokenizer", {"", "", "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"}},
    {"RobertaTokenizer", {"<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"}},
    {"XLMRobertaTokenizer", {"<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"}},
}};

std::optional<std::string> token_text(const Value& token) {
  if (token.is_string()) return token.string();
  if (!token.is_dict()) return std::nullopt;
  const Value* content = token.dict().find("content");
  if (content == nullptr || !content->is_string()) return std::nullopt;
  return content->string();
}

bool is_known(std::string_view name) { return std::ranges::count(kKnownNames, name) > 0; }

void set(SpecialTokens& tokens, std::string_view name, const std::string& text) {
  const auto found = std::ranges::find(tokens, name, &SpecialTokens::value_type::first);
  if (found == tokens.end()) {
    tokens.emplace_back(name, text);
  } else {
    found->second = text;
  }
}

void set_known(SpecialTokens& tokens, const Dict& object) {
  for (const std::string_view name : kKnownNames) {
    const Value* token = object.find(name);
    const std::optional<std::string> text = token != nullptr ? token_text(*token) : std::nullopt;
    if (text) set(tokens, name, *text);
  }
}

// `chosen`: whether a name is one of a token.
template <typename Chosen>
void set_named(SpecialTokens& tokens, const Dict& object, Chosen chosen) {
  for (const auto& [name, token] : object.entries()) {
    if (!name.is_string() || !chosen(name.string())) continue;
    if (const auto text = token_text(token)) set(tokens, name.string(), *text);
  }
}

std::span<const std::string_view> tokens_of_class(const Dict& config) {
  const Value* name = config.find("tokenizer_class");
  if (name == nullptr || !name->is_string()) return {};
  std::string_view wanted = name->string();
  if (wanted.ends_with("Fast")) wanted.remove_suffix(4);
  const auto found = std::ranges::find(kClasses, wanted, &ClassTokens::name);
  if (found == kClasses.end()) return {};
  return found->tokens;
}

}  // namespace

SpecialTokens special_tokens_of(const Dict& config, const Dict* map) {
  SpecialTokens tokens;
  set_known(tokens, config);
  if (map != nullptr) set_known(tokens, *map);
  const std::span<const std::string_view> defaults = tokens_of_class(config);
  for (size_t i = 0; i < defaults.size(); ++i) {
    const bool said = config.find(kKnownNames[i]) != nullptr ||
                      (map != nullptr && map->find(kKnownNames[i]) != nullptr);
    if (!said && !defaults[i].empty()) set(tokens, kKnownNames[i], std::string(defaults[i]));
  }
  set_named(tokens, config,
            [](std::string_view name) { return name.ends_with("_token") && !is_known(name); });
  for (const std::string_view key : {"extra_special_tokens", "model_specific_special_tokens"}) {
    const Value* more = config.find(key);
    if (more == nullptr || !more->is_dict()) continue;
    set_named(tokens, more->dict(), [](std::string_view) { return true; });
  }
  return tokens;
}

}  // namespace ashlar::text
