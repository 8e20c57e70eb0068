#include "ashlar/text/tokenizer.h"

#include "ashlar/base/atomic_file.h"
#include "ashlar/base/error.h"
#include "ashlar/base/mapped_file.h"
#include "ashlar/base/utf8.h"
#include "ashlar/text/tokenizer_parts.h"

#include <algorithm>
#include <utility>

namespace ashlar::text {

Tokenizer Tokenizer::from_json_file(const std::string& path) {
  const MappedFile file(path);
  const auto bytes = file.bytes();
  return from_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path);
}

Tokenizer Tokenizer::from_json(std::string_view text, std::string where) {
  const JsonDocument document(text, std::move(where));
  const JsonView root = document.root();
  auto parts = std::make_unique<Parts>();
  parts->json = text;
  if (const auto json = root.find("normalizer")) parts->normalizer = make_normalizer(*json);
  if (const auto json = root.find("pre_tokenizer")) {
    parts->pre_tokenizer = make_pre_tokenizer(*json);
  }
  parts->model = make_model(root.at("model"));
  parts->post_processor = make_post_processor(root.find("post_processor"));
  parts->decoder = make_decoder(root.find("decoder"));
  parts->added =
      AddedTokens(root.find("added_tokens"), parts->model->vocabulary(), parts->normalizer.get());
  parts->truncation = Truncation::from_json(root.find("truncation"));
  parts->padding = Padding::from_json(root.find("padding"));
  parts->encodes_any_bytes = parts->pre_tokenizer && parts->pre_tokenizer->ends_in_bytes() &&
                             parts->model->covers_all_bytes();
  return Tokenizer(std::move(parts));
}

Tokenizer::Tokenizer(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

std::string_view Tokenizer::model_type() const { return parts_->model->type(); }

int32_t Tokenizer::vocab_size() const {
  int32_t size = parts_->model->vocabulary().id_limit();
  for (const AddedToken& token : added_tokens()) size = std::max(size, token.id + 1);
  return size;
}

std::optional<int32_t> Tokenizer::token_to_id(std::string_view token) const {
  if (const AddedToken* added = parts_->added.find(token)) return added->id;
  return parts_->model->vocabulary().find(token);
}

std::optional<std::string_view> Tokenizer::id_to_token(int32_t id) const {
  if (const AddedToken* added = parts_->added.find(id)) return added->content;
  return parts_->model->vocabulary().token(id);
}

std::optional<std::string_view> Tokenizer::decoder_input(int32_t id,
                                                         bool skip_special_tokens) const {
  const AddedToken* const added = parts_->added.find(id);
  if (added == nullptr) return parts_->model->vocabulary().token(id);
  if (skip_special_tokens && added->special) return std::nullopt;
  return added->decoded;
}

const std::vector<AddedToken>& Tokenizer::added_tokens() const { return parts_->added.tokens(); }

bool Tokenizer::is_special(int32_t id) const {
  const AddedToken* added = parts_->added.find(id);
  return added != nullptr && added->special;
}

std::vector<int32_t> Tokenizer::special_ids() const {
  std::vector<int32_t> ids;
  for (const AddedToken& token : added_tokens()) {
    if (token.special) ids.push_back(token.id);
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

const std::string& Tokenizer::json() const { return parts_->json; }

void Tokenizer::save(const std::string& path) const { write_file(path, json(), "tokenizer"); }

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special_tokens) const {
  return decode(ids, skip_special_tokens, false);
}

std::string Tokenizer::decode_bytes(std::span<const int32_t> ids, bool skip_special_tokens) const {
  return decode(ids, skip_special_tokens, true);
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special_tokens,
                              bool exact) const {
  TextSink sink;
  const auto stream = parts_->decoder->open(sink, exact ? IllFormed::kKeep : IllFormed::kReplace);
  for (const int32_t id : ids) {
    const auto token = decoder_input(id, skip_special_tokens);
    if (!token) continue;
    stream->text(*token);
    stream->end_token();
  }
  stream->finish();
  return sink.take();
}

}  // namespace ashlar::text
