#include "ashlar/data/tokenizer_encoder.h"

#include "ashlar/base/checksum.h"
#include "ashlar/base/error.h"
#include "ashlar/base/file.h"

#include <algorithm>
#include <utility>

namespace ashlar::data {
namespace {

constexpr std::string_view kKnownEnds[] = {"<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>"};
constexpr std::string_view kKnownMasks[] = {"[MASK]", "<mask>"};

std::tm fixed_date() {
  std::tm date{};
  date.tm_year = 124;
  date.tm_mon = 6;
  date.tm_mday = 26;
  date.tm_wday = 5;
  date.tm_yday = 207;
  return date;
}

}  // namespace

TokenizerEncoder TokenizerEncoder::open(const std::string& path) {
  const bool folder = is_directory(path);
  const std::string file = folder ? join_path(path, "tokenizer.json") : path;
  ASHLAR_CHECK(is_file(file), "tokenizer {}: no such file", file);
  return {text::Tokenizer::from_json_file(file),
          text::read_chat_files(folder ? path : parent_path(path)), path};
}

TokenizerEncoder::TokenizerEncoder(text::Tokenizer tokenizer, const text::ChatFiles& files,
                                   std::string where)
    : tokenizer_(std::move(tokenizer)),
      where_(std::move(where)),
      special_tokens_(files.special_tokens) {
  tokenizer_.drop_length_rules();
  find_document_ends(special_tokens_);
  Xxh64 hash;
  const auto add = [&hash](std::string_view part) {
    const uint64_t size = part.size();
    hash.update(std::as_bytes(std::span(&size, 1)));
    hash.update(std::as_bytes(std::span(part)));
  };
  add(tokenizer_.json());
  for (const auto& [name, token] : special_tokens_) {
    add(name);
    add(token);
  }
  for (const bool tools : {false, true}) {
    const text::ChatTemplateSource* source = files.choose(tools);
    if (source == nullptr) continue;
    (tools ? chat_with_tools_ : chat_) = text::ChatTemplate::parse(source->source, source->where);
    add(source->source);
  }
  hash.update(std::as_bytes(std::span(&document_end_, 1)));
  fingerprint_ = hash.digest();
}

// What the tokenizer puts around a text shows on a short one.
void TokenizerEncoder::find_document_ends(const text::SpecialTokens& special_tokens) {
  const std::vector<int32_t> bare = tokenizer_.encode("a", false);
  const std::vector<int32_t> framed = tokenizer_.encode("a", true);
  const auto inner = std::ranges::search(framed, bare);
  document_begin_.assign(framed.begin(), inner.begin());
  const auto end_at = [this](std::string_view token) {
    if (document_end_ < 0) document_end_ = tokenizer_.token_to_id(token).value_or(-1);
  };
  for (const auto& [name, token] : special_tokens) {
    if (name == "eos_token") end_at(token);
  }
  if (document_end_ < 0 && inner.end() != framed.end()) document_end_ = framed.back();
  for (const std::string_view token : kKnownEnds) end_at(token);
}

std::optional<int32_t> TokenizerEncoder::mask_token() const {
  for (const auto& [name, token] : special_tokens_) {
    if (name == "mask_token") return tokenizer_.token_to_id(token);
  }
  for (const std::string_view token : kKnownMasks) {
    if (const auto id = tokenizer_.token_to_id(token)) return id;
  }
  return std::nullopt;
}

void TokenizerEncoder::encode(std::string_view text, std::vector<int32_t>& out) const {
  const std::vector<int32_t> ids = tokenizer_.encode(text, false);
  out.insert(out.end(), ids.begin(), ids.end());
}

RenderedChat TokenizerEncoder::render_chat(const std::string& messages, const std::string& tools,
                                           bool add_generation_prompt) const {
  const auto& chosen = tools.empty() ? chat_ : chat_with_tools_;
  ASHLAR_CHECK(chosen,
               "the model {} has no chat template, which messages need; add a "
               "chat_template.jinja to it, or give prompt and completion",
               where_);
  text::ChatRequest request;
  request.messages = text::jinja::parse_json(messages, "messages");
  if (!tools.empty()) request.tools = text::jinja::parse_json(tools, "tools");
  request.add_generation_prompt = add_generation_prompt;
  request.special_tokens = special_tokens_;
  text::jinja::RenderOptions options;
  options.now = fixed_date;
  text::jinja::Rendered rendered = chosen->render_with_spans(request, options);
  RenderedChat chat{.text = std::move(rendered.text), .answers = {}};
  for (const auto& span : rendered.generated) chat.answers.push_back({span.begin, span.end});
  return chat;
}

}  // namespace ashlar::data
