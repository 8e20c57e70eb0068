// Chat templates: a conversation, its tools and documents become the text a model was trained to
// read. Renders as transformers' apply_chat_template does (jinja/template.h has the language), and
// finds the templates and special tokens of a model directory.
#pragma once

#include "ashlar/text/jinja/json_input.h"
#include "ashlar/text/jinja/template.h"
#include "ashlar/text/jinja/value.h"
#include "ashlar/text/special_tokens.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ashlar::text {

// Values come from jinja::parse_json or are built by hand.
struct ChatRequest {
  jinja::Value messages;   // a list of dicts: role, content, ...
  jinja::Value tools;      // a list of JSON schemas, or none
  jinja::Value documents;  // a list of dicts, or none
  bool add_generation_prompt = true;
  SpecialTokens special_tokens;
  jinja::Value extra;  // a dict of further variables (enable_thinking, ...), or none
};

class ChatTemplate {
 public:
  // `where` names the source in errors: a file, or a file and its key. Throws Error with line and
  // column when the template can't be parsed.
  static ChatTemplate parse(std::string_view source, std::string where,
                            const jinja::Limits& limits = {});

  // Throws Error when the template refuses the request (raise_exception), fails or meets a limit.
  std::string render(const ChatRequest& request, const jinja::RenderOptions& options = {}) const;

  // The text, and which bytes of it the {% generation %} blocks made: the assistant's own words.
  jinja::Rendered render_with_spans(const ChatRequest& request,
                                    const jinja::RenderOptions& options = {}) const;

  // Whether a message whose content is a list of parts, {type: text, text}, comes out as its text,
  // by trying it.
  bool reads_parts(const SpecialTokens& special_tokens) const;

 private:
  explicit ChatTemplate(jinja::Template parsed) : template_(std::move(parsed)) {}

  jinja::Template template_;
};

// A template of a model directory, not yet parsed.
struct ChatTemplateSource {
  std::string name;  // "default", "tool_use", "rag", ...
  std::string source;
  std::string where;  // for error messages
};

struct ChatFiles {
  std::vector<ChatTemplateSource> templates;  // empty: the model has none
  SpecialTokens special_tokens;

  // As transformers chooses: `wanted` if given, else "tool_use" for requests with tools where there
  // is one, else "default". nullptr when the model has no template; Error for an unknown name.
  const ChatTemplateSource* choose(bool with_tools, std::string_view wanted = {}) const;
  // Parses them all. Throws Error with file, line and column of what is wrong with the first that
  // is.
  void check() const;
};

// What is wrong with a prompt of far more bytes than `context` tokens have: it need not be cut into
// tokens to know that it is too long. Empty where it may fit.
std::string prompt_excess(std::string_view prompt, int64_t context);

// Reads chat_template.jinja (which wins over the key chat_template of tokenizer_config.json, a
// string or a list of {name, template}), additional_chat_templates/*.jinja, and the special tokens
// (text/special_tokens.h). Absent files are no error, broken ones are.
ChatFiles read_chat_files(const std::string& directory);

}  // namespace ashlar::text
