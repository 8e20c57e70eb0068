// Tokenizer's way from text to ids.
#include "ashlar/base/error.h"
#include "ashlar/text/tokenizer.h"
#include "ashlar/text/tokenizer_parts.h"
#include "ashlar/text/unicode/utf8.h"

#include <utility>

namespace ashlar::text {
namespace {

using Stage = AddedTokens::Stage;

}  // namespace

Tokenizer::Lease::Lease(const Parts& parts) : parts_(parts) {
  {
    const std::lock_guard lock(parts.mutex);
    if (!parts.idle.empty()) {
      scratch_ = std::move(parts.idle.back());
      parts.idle.pop_back();
    }
  }
  if (scratch_ == nullptr) {
    scratch_ = std::make_unique<Scratch>();
    scratch_->model = parts.model->make_scratch();
  }
}

Tokenizer::Lease::~Lease() {
  const std::lock_guard lock(parts_.mutex);
  parts_.idle.push_back(std::move(scratch_));
}

std::vector<int32_t> Tokenizer::encode_text(std::string_view text) const {
  const Parts& parts = *parts_;
  const Lease lease(parts);
  Scratch& scratch = *lease;
  std::vector<int32_t> ids;

  const auto encode_words = [&](std::string_view segment, bool at_start) {
    scratch.pieces.reset(segment, at_start);
    if (parts.pre_tokenizer) parts.pre_tokenizer->apply(scratch.pieces);
    for (const Span& span : scratch.pieces.spans()) {
      parts.model->tokenize(scratch.pieces.piece(span), scratch.pieces.alphabet(), *scratch.model,
                            ids);
    }
  };
  const auto encode_segment = [&](std::string_view segment, bool at_start) {
    if (parts.normalizer) {
      scratch.normalized = segment;
      parts.normalizer->normalize(scratch.normalized);
      segment = scratch.normalized;
    }
    if (!parts.added.any(Stage::kNormalized)) return encode_words(segment, at_start);
    const char* const begin = segment.data();
    parts.added.each_part(segment, Stage::kNormalized,
                          [&](std::string_view part, const AddedToken* token) {
                            if (token != nullptr) {
                              ids.push_back(token->id);
                            } else {
                              encode_words(part, at_start && part.data() == begin);
                            }
                          });
  };
  const auto encode_valid = [&](std::string_view valid) {
    parts.added.each_part(valid, Stage::kRaw, [&](std::string_view part, const AddedToken* token) {
      if (token != nullptr) {
        ids.push_back(token->id);
      } else {
        encode_segment(part, part.data() == text.data());
      }
    });
  };

  size_t at = 0;
  while (at < text.size()) {
    const size_t valid = valid_utf8_prefix(text.substr(at));
    if (valid > 0) encode_valid(text.substr(at, valid));
    at += valid;
    if (at == text.size()) break;
    ASHLAR_CHECK(
        parts.encodes_any_bytes,
        "the text is not UTF-8 at byte {} (0x{:02X}), and this tokenizer has no tokens for "
        "single bytes; convert the text to UTF-8",
        at, static_cast<unsigned char>(text[at]));
    const size_t begin = at;
    while (at < text.size() && scan_utf8(text.substr(at)).kind != Utf8Sequence::kComplete) {
      at += scan_utf8(text.substr(at)).length;
    }
    parts.model->tokenize(text.substr(begin, at - begin), Alphabet::kBytes, *scratch.model, ids);
  }
  return ids;
}

Encoding Tokenizer::finish(std::vector<Encoding> texts, bool add_special_tokens) const {
  const PostProcessor& post_processor = *parts_->post_processor;
  if (parts_->truncation) {
    const size_t added = add_special_tokens ? post_processor.added_tokens(texts.size()) : 0;
    parts_->truncation->apply(texts, added);
  }
  Encoding whole;
  for (const Encoding& part : post_processor.process(std::move(texts), add_special_tokens)) {
    whole.append(part);
  }
  if (parts_->padding) parts_->padding->apply(whole);
  return whole;
}

Encoding Tokenizer::encode_with_types(std::string_view text, bool add_special_tokens) const {
  std::vector<Encoding> texts(1);
  texts[0].ids = encode_text(text);
  texts[0].type_ids.assign(texts[0].ids.size(), 0);
  return finish(std::move(texts), add_special_tokens);
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, bool add_special_tokens) const {
  const bool plain = parts_->post_processor->is_identity() && !parts_->truncation;
  if (plain && !parts_->padding) return encode_text(text);
  return encode_with_types(text, add_special_tokens).ids;
}

Encoding Tokenizer::encode_pair(std::string_view first, std::string_view second,
                                bool add_special_tokens) const {
  std::vector<Encoding> texts(2);
  texts[0].ids = encode_text(first);
  texts[0].type_ids.assign(texts[0].ids.size(), 0);
  texts[1].ids = encode_text(second);
  texts[1].type_ids.assign(texts[1].ids.size(), 1);
  return finish(std::move(texts), add_special_tokens);
}

void Tokenizer::drop_length_rules() {
  parts_->truncation.reset();
  parts_->padding.reset();
}

}  // namespace ashlar::text
