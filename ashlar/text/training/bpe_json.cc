#include "ashlar/text/training/bpe_json.h"

#include <nlohmann/json.hpp>

namespace ashlar::text {
namespace {

using Json = nlohmann::ordered_json;

Json byte_level(bool add_prefix_space, bool use_regex) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", add_prefix_space},
          {"trim_offsets", true},
          {"use_regex", use_regex}};
}

Json pre_tokenizer(WordPattern pattern) {
  if (pattern == WordPattern::kGpt2) return byte_level(false, true);
  const Json split = {{"type", "Split"},
                      {"pattern", {{"Regex", regex_of(pattern)}}},
                      {"behavior", "Isolated"},
                      {"invert", false}};
  return {{"type", "Sequence"}, {"pretokenizers", Json::array({split, byte_level(false, false)})}};
}

Json begin_with(const std::string& token, int32_t id) {
  const Json special = {{"SpecialToken", {{"id", token}, {"type_id", 0}}}};
  const auto sequence = [](const char* name, int type) {
    return Json{{"Sequence", {{"id", name}, {"type_id", type}}}};
  };
  Json names = Json::object();
  names[token] = {{"id", token}, {"ids", Json::array({id})}, {"tokens", Json::array({token})}};
  return {{"type", "TemplateProcessing"},
          {"single", Json::array({special, sequence("A", 0)})},
          {"pair", Json::array({special, sequence("A", 0), sequence("B", 1)})},
          {"special_tokens", names}};
}

}  // namespace

std::string tokenizer_json(const ByteLevelBpe& bpe) {
  Json added = Json::array();
  Json post_processor = nullptr;
  // Appended as a list: an ordered object searches all its keys at every insertion.
  Json::object_t vocabulary;
  for (size_t id = 0; id < bpe.tokens.size(); ++id) {
    const std::string& token = bpe.tokens[id];
    vocabulary.push_back({token, id});
    if (id >= static_cast<size_t>(bpe.special_tokens)) continue;
    added.push_back({{"id", id},
                     {"content", token},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
    if (token == bpe.begin_token) post_processor = begin_with(token, static_cast<int32_t>(id));
  }
  Json merges = Json::array();
  for (const auto& [left, right] : bpe.merges) {
    merges.push_back(Json::array(
        {bpe.tokens[static_cast<size_t>(left)], bpe.tokens[static_cast<size_t>(right)]}));
  }
  const Json document = {{"version", "1.0"},
                         {"truncation", nullptr},
                         {"padding", nullptr},
                         {"added_tokens", added},
                         {"normalizer", nullptr},
                         {"pre_tokenizer", pre_tokenizer(bpe.pattern)},
                         {"post_processor", post_processor},
                         {"decoder", byte_level(true, true)},
                         {"model",
                          {{"type", "BPE"},
                           {"dropout", nullptr},
                           {"unk_token", nullptr},
                           {"continuing_subword_prefix", nullptr},
                           {"end_of_word_suffix", nullptr},
                           {"fuse_unk", false},
                           {"byte_fallback", false},
                           {"ignore_merges", false},
                           {"vocab", vocabulary},
                           {"merges", merges}}}};
  return document.dump(1) + "\n";
}

}  // namespace ashlar::text
