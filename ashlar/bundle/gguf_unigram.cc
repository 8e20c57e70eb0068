#include "ashlar/bundle/gguf_unigram.h"

#include "ashlar/base/base64.h"
#include "ashlar/bundle/gguf_spaces.h"

#include <nlohmann/json.hpp>

namespace ashlar::bundle {
namespace {

using nlohmann::json;

// The steps of a stage, whether it is one or a Sequence.
std::vector<json> steps_of(const json& stage, const char* list) {
  if (stage.is_null()) return {};
  if (stage.value("type", "") != "Sequence") return {stage};
  return stage.at(list).get<std::vector<json>>();
}

std::vector<int64_t> bytes_of(const std::string& base64) {
  std::vector<int64_t> bytes;
  for (const char byte : from_base64(base64)) bytes.push_back(static_cast<uint8_t>(byte));
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
    } else if (replaces("Regex", kSeveralSpaces) && (content == " " || content == kSpace)) {
      joins_ = true;
    } else if ((replaces("Regex", kEndsOfOwn) || replaces("Regex", kEndsOfGguf)) &&
               content.empty()) {
      strips_ = true;
    } else if (type == "Strip" && step.value("strip_right", true)) {
      strips_ = true;  // on the left Metaspace and a space come to the same
    } else if (type == "Prepend" && step.value("prepend", "") == kSpace) {
      steps_.prefix = true;
    } else if (replaces("Regex", kBeforeWords) && content == kSpace) {
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
