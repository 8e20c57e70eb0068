#include "ashlar/bundle/gguf_unigram.h"

#include <nlohmann/json.hpp>

#include <string_view>

namespace ashlar::bundle {
namespace {

using nlohmann::json;

constexpr std::string_view kSpace = "\xE2\x96\x81";  // U+2581

// The steps of a stage, whether it is one or a Sequence.
std::vector<json> steps_of(const json& stage, const char* list) {
  if (stage.is_null()) return {};
  if (stage.value("type", "") != "Sequence") return {stage};
  return stage.at(list).get<std::vector<json>>();
}

// Of base 64; a tokenizer that has been read holds nothing else.
std::vector<int64_t> bytes_of(std::string_view text) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::vector<int64_t> bytes;
  uint32_t bits = 0;
  int held = 0;
  for (const char c : text.substr(0, text.find('='))) {
    bits = bits << 6 | static_cast<uint32_t>(kDigits.find(c));
    held += 6;
    if (held < 8) continue;
    held -= 8;
    bytes.push_back(bits >> held & 0xFF);
  }
  return bytes;
}

class Reader {
 public:
  UnigramSteps read(const json& document) {
    for (const json& step : steps_of(document.at("normalizer"), "normalizers")) normalizer(step);
    for (const json& step : steps_of(document.at("pre_tokenizer"), "pretokenizers")) {
      pre_tokenizer(step);
    }
    if (!steps_.no_words.empty()) return steps_;
    steps_.cleaned = words_ || (joins_ && strips_);
    if (!signs_) {
      refuse("its pre-tokenizer", "without U+2581 for spaces");
    } else if (!steps_.cleaned && (joins_ || strips_ || metaspace_)) {
      refuse("its normalizer", "without one for spaces at the end and one for several");
    } else if (steps_.cleaned && !steps_.prefix) {
      refuse("prepend_scheme", "never");
    }
    return steps_;
  }

 private:
  void refuse(const std::string& what, const std::string& found) {
    if (!steps_.no_words.empty()) return;
    steps_.no_words = what;
    steps_.found = found;
  }

  void normalizer(const json& step) {
    const std::string type = step.value("type", ""), content = step.value("content", "");
    const json pattern = step.value("pattern", json());
    const auto replaces = [&](const char* kind, const std::string& what) {
      return type == "Replace" && pattern == json{{kind, what}};
    };
    if (type == "Precompiled" && first_) {
      steps_.charsmap = bytes_of(step.at("precompiled_charsmap").get<std::string>());
    } else if (replaces("Regex", " {2,}") && (content == " " || content == kSpace)) {
      joins_ = true;
    } else if ((replaces("Regex", "\\A +|[ \u2581]+\\z") || replaces("Regex", "\\A +| +\\z")) &&
               content.empty()) {
      strips_ = true;  // as gguf_tokenizer.cc says it
    } else if (type == "Strip" && step.value("strip_right", true)) {
      strips_ = true;  // on the left Metaspace and a space come to the same
    } else if (type == "Prepend" && step.value("prepend", "") == kSpace) {
      steps_.prefix = true;
    } else if (replaces("Regex", "\\A(?= *[^ ])") && content == kSpace) {
      steps_.prefix = true;
    } else if (replaces("String", " ") && content == kSpace) {
      signs_ = true;
    } else {
      refuse("a normalizer", type.empty() ? step.dump() : type);
    }
    first_ = false;
  }

  void pre_tokenizer(const json& step) {
    const std::string type = step.value("type", "");
    if (type == "WhitespaceSplit") {
      words_ = steps_.by_word = true;
    } else if (type == "Metaspace" && step.value("replacement", std::string(kSpace)) == kSpace) {
      const bool old = step.value("add_prefix_space", true);
      const std::string scheme = step.value("prepend_scheme", old ? "always" : "never");
      if (scheme != "always") refuse("prepend_scheme", scheme);
      metaspace_ = signs_ = steps_.prefix = true;
      steps_.by_word = steps_.by_word || step.value("split", true);
    } else {
      refuse("a pre-tokenizer", type);
    }
  }

  UnigramSteps steps_;
  bool first_ = true, joins_ = false, strips_ = false, signs_ = false;
  bool words_ = false, metaspace_ = false;
};

}  // namespace

UnigramSteps read_unigram_steps(const std::string& tokenizer_json) {
  return Reader().read(json::parse(tokenizer_json));
}

}  // namespace ashlar::bundle
