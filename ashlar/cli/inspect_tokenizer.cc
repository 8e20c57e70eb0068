#include "ashlar/cli/inspect_tokenizer.h"

#include "ashlar/base/shown_text.h"
#include "ashlar/bundle/gguf_tokenizer.h"
#include "ashlar/bundle/model_path.h"
#include "ashlar/cli/verb.h"
#include "ashlar/formats/gguf.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <iterator>

namespace ashlar::cli {
namespace {

using Json = nlohmann::ordered_json;

Json tokenizer_facts(const text::Tokenizer& tokenizer) {
  return {{"type", tokenizer.model_type()},
          {"vocab_size", tokenizer.vocab_size()},
          {"special_tokens", tokenizer.special_ids().size()}};
}

Json template_names(const text::ChatFiles& files) {
  Json names = Json::array();
  for (const text::ChatTemplateSource& source : files.templates) names.push_back(source.name);
  return names;
}

Json metadata_facts(const formats::GgufMetadata& metadata) {
  Json facts = Json::object();
  for (const auto& [key, value] : metadata.entries()) facts[key] = value.str();
  return facts;
}

std::string line(std::string_view label, const std::string& value) {
  return fmt::format("{:<12}{}\n", label, value);
}

std::string described(const Json& tokenizer) {
  if (tokenizer.is_null()) return "none: token ids only";
  return fmt::format("{}, {} tokens, {} of them special", tokenizer["type"].get<std::string>(),
                     tokenizer["vocab_size"].get<int64_t>(),
                     tokenizer["special_tokens"].get<int64_t>());
}

std::string lines_of(const Json& facts) {
  std::string text = line("tokenizer", described(facts["tokenizer"]));
  std::string templates;
  for (const Json& name : facts["chat_templates"]) {
    templates += (templates.empty() ? "" : ", ") + name.get<std::string>();
  }
  text += line("template", templates.empty() ? "none: no chat" : templates);
  if (facts.contains("metadata")) {
    text += "metadata\n";
    for (const auto& [key, value] : facts["metadata"].items()) {
      const std::string shown = shown_text(value.get<std::string>());  // in quotes
      fmt::format_to(std::back_inserter(text), "  {} = {}\n", key,
                     std::string_view(shown).substr(1, shown.size() - 2));
    }
  }
  text.pop_back();
  return text;
}

}  // namespace

TextFacts text_facts(const bundle::Bundle& model) {
  Json facts{{"tokenizer", nullptr}, {"chat_templates", template_names(model.chat_files())}};
  if (model.has_tokenizer()) facts["tokenizer"] = tokenizer_facts(model.load_tokenizer());
  if (model.gguf() != nullptr) facts["metadata"] = metadata_facts(model.gguf()->metadata());
  return {json_line(facts), lines_of(facts)};
}

std::optional<TextFacts> vocabulary_facts(const std::string& model) {
  const std::string path = bundle::find_model(model);
  if (!bundle::is_gguf_file(path)) return std::nullopt;
  const formats::GgufReader file(path);
  if (!file.names().empty()) return std::nullopt;
  const formats::GgufMetadata& metadata = file.metadata();
  const std::string format =
      fmt::format("GGUF version {}, a vocabulary without a model", file.version());
  Json facts{{"model", path},
             {"format", format},
             {"tokenizer", nullptr},
             {"chat_templates", template_names(bundle::gguf_chat_files(metadata))},
             {"metadata", metadata_facts(metadata)}};
  if (bundle::has_tokenizer(metadata)) {
    facts["tokenizer"] = tokenizer_facts(bundle::open_tokenizer(path));
  }
  return TextFacts{json_line(facts),
                   line("model", path) + line("format", format) + lines_of(facts)};
}

}  // namespace ashlar::cli
