#include "tests/data/byte_encoder.h"

#include "ashlar/base/error.h"

#include <nlohmann/json.hpp>

namespace ashlar::data::testing {

RenderedChat ByteEncoder::render_chat(const std::string& messages, const std::string& tools,
                                      bool add_generation_prompt) const {
  ASHLAR_CHECK(chat != Template::kNone, "no chat template");
  const auto turns = nlohmann::json::parse(messages);
  RenderedChat result;
  if (!tools.empty()) result.text = "{" + tools + "}\n";
  for (size_t i = 0; i < turns.size(); ++i) {
    const std::string role = turns[i].at("role");
    std::string content = turns[i].at("content");
    // As templates do that drop the thoughts of all but the last answer.
    if (chat == Template::kForgetful && role == "assistant" && i + 1 < turns.size()) {
      content = content.substr(content.find('>') + 1);
    }
    ASHLAR_CHECK(role != "villain", "the template refuses the role villain");
    result.text += "[" + role + "]";
    const size_t answer = result.text.size();
    result.text += content;
    if (chat == Template::kMarked && role == "assistant") {
      result.answers.push_back({answer, result.text.size()});
    }
    result.text += "\n";
  }
  if (add_generation_prompt) {
    result.text += chat == Template::kOddPrompt ? "[assistant]<think>" : "[assistant]";
  }
  return result;
}

std::string spell(std::span<const int32_t> tokens) {
  std::string text;
  for (const int32_t token : tokens) {
    if (token == ByteEncoder::kEnd) {
      text += "<e>";
    } else if (token == ByteEncoder::kBegin) {
      text += "<b>";
    } else if (token < 0) {
      text += "_";
    } else {
      text += static_cast<char>(token);
    }
  }
  return text;
}

}  // namespace ashlar::data::testing
