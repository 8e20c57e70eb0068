#include "ashlar/text/chat_template.h"

#include "ashlar/base/error.h"
#include "ashlar/base/mapped_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <iterator>

namespace ashlar::text {
namespace {

namespace fs = std::filesystem;
using jinja::Dict;
using jinja::Value;

std::string read_text(const fs::path& path) {
  const MappedFile file(path.string());
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

// The object in a JSON file; an empty one when there is no such file.
Value read_json_object(const fs::path& path) {
  if (!fs::exists(path)) return Value(Dict());
  Value value = jinja::parse_json(read_text(path), path.string(), jinja::LargeIntegers::kRound);
  ASHLAR_CHECK(value.is_dict(), "{}: holds a JSON {}, wanted an object", path.string(),
               type_name(value));
  return value;
}

const std::string& text_at(const Dict& object, std::string_view key, const std::string& where) {
  const Value* value = object.find(key);
  ASHLAR_CHECK(value != nullptr && value->is_string(), "{}: key '{}' is missing or not a string",
               where, key);
  return value->string();
}

void set_template(std::vector<ChatTemplateSource>& templates, ChatTemplateSource source) {
  const auto same = [&](const ChatTemplateSource& other) { return other.name == source.name; };
  std::erase_if(templates, same);
  templates.push_back(std::move(source));
}

// The key chat_template: one template, or named ones in a list or an object.
void add_config_templates(const Dict& config, const std::string& file,
                          std::vector<ChatTemplateSource>& templates) {
  const Value* value = config.find("chat_template");
  if (value == nullptr || value->is_none()) return;
  const std::string where = file + ": chat_template";
  if (value->is_string()) return set_template(templates, {"default", value->string(), where});
  if (value->is_dict()) {
    for (const auto& [name, source] : value->dict().entries()) {
      set_template(templates, {name.string(), text_at(value->dict(), name.string(), where),
                               where + " '" + name.string() + "'"});
    }
    return;
  }
  ASHLAR_CHECK(value->is_list(),
               "{}: is a JSON {}, wanted a string, a list of {{name, template}} or an object",
               where, type_name(*value));
  for (const Value& entry : value->items()) {
    ASHLAR_CHECK(entry.is_dict(), "{}: an entry is a {}, wanted {{name, template}}", where,
                 type_name(entry));
    const std::string& name = text_at(entry.dict(), "name", where);
    set_template(templates,
                 {name, text_at(entry.dict(), "template", where), where + " '" + name + "'"});
  }
}

}  // namespace

ChatTemplate ChatTemplate::parse(std::string_view source, std::string where,
                                 const jinja::Limits& limits) {
  return ChatTemplate(jinja::Template(source, std::move(where), limits));
}

std::string ChatTemplate::render(const ChatRequest& request,
                                 const jinja::RenderOptions& options) const {
  return render_with_spans(request, options).text;
}

jinja::Rendered ChatTemplate::render_with_spans(const ChatRequest& request,
                                                const jinja::RenderOptions& options) const {
  ASHLAR_CHECK(request.messages.is_list(), "chat request: messages is a {}, wanted a list",
               type_name(request.messages));
  Dict variables;
  for (const auto& [name, text] : request.special_tokens) variables.set(Value(name), Value(text));
  if (!request.extra.is_none()) {
    ASHLAR_CHECK(request.extra.is_dict(),
                 "chat request: template arguments are a {}, wanted a dict",
                 type_name(request.extra));
    for (const auto& [name, value] : request.extra.dict().entries()) variables.set(name, value);
  }
  variables.set("messages", request.messages);
  variables.set("tools", request.tools);
  variables.set("documents", request.documents);
  variables.set("add_generation_prompt", Value(request.add_generation_prompt));
  return template_.render(variables, options);
}

bool ChatTemplate::reads_parts(const SpecialTokens& special_tokens) const {
  constexpr std::string_view kText = "a text of one part";
  constexpr std::string_view kMessages =
      R"([{"role": "user", "content": [{"type": "text", "text": "a text of one part"}]}])";
  ChatRequest request;
  request.special_tokens = special_tokens;
  request.messages = jinja::parse_json(kMessages, "messages");
  try {
    const std::string text = render(request);
    const size_t at = text.find(kText);
    if (at == std::string::npos || at == 0) return at == 0;
    return text[at - 1] != '\'' && text[at - 1] != '"';  // so a list is printed as a whole
  } catch (const Error&) {
    return false;
  }
}

const ChatTemplateSource* ChatFiles::choose(bool with_tools, std::string_view wanted) const {
  const auto find = [&](std::string_view name) -> const ChatTemplateSource* {
    const auto same = [&](const ChatTemplateSource& source) { return source.name == name; };
    const auto found = std::find_if(templates.begin(), templates.end(), same);
    return found == templates.end() ? nullptr : &*found;
  };
  std::string names;
  for (const ChatTemplateSource& source : templates) {
    names += (names.empty() ? "" : ", ") + source.name;
  }
  if (!wanted.empty()) {
    const ChatTemplateSource* found = find(wanted);
    ASHLAR_CHECK(found != nullptr, "chat template '{}' does not exist; the model has: {}", wanted,
                 names.empty() ? "none" : names);
    return found;
  }
  if (templates.empty()) return nullptr;
  if (with_tools && find("tool_use") != nullptr) return find("tool_use");
  const ChatTemplateSource* found = find("default");
  ASHLAR_CHECK(found != nullptr,
               "the model has no chat template named 'default'; choose one of: {}", names);
  return found;
}

void ChatFiles::check() const {
  for (const ChatTemplateSource& source : templates) {
    ChatTemplate::parse(source.source, source.where);
  }
}

std::string prompt_excess(std::string_view prompt, int64_t context) {
  constexpr int64_t kBytesOfToken = 64, kAtLeast = int64_t{1} << 20;
  const int64_t most = std::max(kAtLeast, context * kBytesOfToken);
  if (std::ssize(prompt) <= most) return "";
  return fmt::format(
      "the chat template makes {} bytes of them, more than {} for a context of {} tokens; shorten "
      "them, or mend the template",
      prompt.size(), most, context);
}

ChatFiles read_chat_files(const std::string& directory) {
  const fs::path root(directory);
  ChatFiles files;
  const fs::path config_path = root / "tokenizer_config.json";
  const Value config = read_json_object(config_path);
  add_config_templates(config.dict(), config_path.string(), files.templates);
  // Older directories keep special tokens in a file of their own, which then counts.
  const bool older = config.dict().find("added_tokens_decoder") == nullptr;
  const Value map = older ? read_json_object(root / "special_tokens_map.json") : Value();
  files.special_tokens = special_tokens_of(config.dict(), older ? &map.dict() : nullptr);
  const fs::path main_template = root / "chat_template.jinja";
  if (fs::exists(main_template)) {
    files.templates.clear();
    files.templates.push_back({"default", read_text(main_template), main_template.string()});
  }
  const fs::path more = root / "additional_chat_templates";
  if (fs::is_directory(more)) {
    std::vector<fs::path> paths;
    for (const auto& entry : fs::directory_iterator(more)) {
      if (entry.path().extension() == ".jinja") paths.push_back(entry.path());
    }
    std::sort(paths.begin(), paths.end());
    for (const fs::path& path : paths) {
      set_template(files.templates, {path.stem().string(), read_text(path), path.string()});
    }
  }
  return files;
}

}  // namespace ashlar::text
