// Tokenizer's way from text to ids.
#include "ashlar/base/error.h"
#include "ashlar/base/utf8.h"
#include "ashlar/text/tokenizer.h"
#include "ashlar/text/tokenizer_parts.h"

#include <utility>

namespace ashlar::text {
namespace {

using Stage = AddedTokens::Stage;

// Whether the normalized text still begins where the text does.
bool keeps_first_char(const Normalizer& normalizer, std::string_view text) {
  std::string with_first(text.substr(0, utf8_length(text[0]))), without = "a";
  with_first += without;
  normalizer.normalize(with_first);
  normalizer.normalize(without);
  return with_first != without;
}

std::vector<Encoding> windows_of(Encoding encoding) {
  std::vector<Encoding> windows = std::move(encoding.overflowing);
  encoding.overflowing.clear();
  windows.insert(windows.begin(), std::move(encoding));
  return windows;
}

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
      if (at_start) {
        parts.normalizer->normalize_first(scratch.normalized);
      } else {
        parts.normalizer->normalize(scratch.normalized);
      }
      at_start = at_start && keeps_first_char(*parts.normalizer, segment);
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

Encoding Tokenizer::finish(std::vector<Encoding> texts, bool add_special_tokens,
                           bool keep_rest) const {
  const PostProcessor& post_processor = *parts_->post_processor;
  if (parts_->truncation) {
    const size_t added = add_special_tokens ? post_processor.added_tokens(texts.size()) : 0;
    parts_->truncation->apply(texts, added, keep_rest);
  }
  Encoding whole;
  for (const Encoding& part : post_processor.process(std::move(texts), add_special_tokens)) {
    whole.append(part);
  }
  if (parts_->padding) parts_->padding->apply(whole);
  return whole;
}

std::vector<Encoding> Tokenizer::encode_texts(std::initializer_list<std::string_view> texts) const {
  std::vector<Encoding> encodings;
  for (const std::string_view text : texts) {
    const auto type = static_cast<int32_t>(encodings.size());
    Encoding& encoding = encodings.emplace_back();
    encoding.ids = encode_text(text);
    encoding.type_ids.assign(encoding.ids.size(), type);
  }
  return encodings;
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, bool add_special_tokens) const {
  const bool plain = parts_->post_processor->is_identity() && !parts_->truncation;
  if (plain && !parts_->padding) return encode_text(text);
  return encode_with_types(text, add_special_tokens).ids;
}

Encoding Tokenizer::encode_with_types(std::string_view text, bool add_special_tokens) const {
  return finish(encode_texts({text}), add_special_tokens, false);
}

Encoding Tokenizer::encode_pair(std::string_view first, std::string_view second,
                                bool add_special_tokens) const {
  return finish(encode_texts({first, second}), add_special_tokens, false);
}

std::vector<Encoding> Tokenizer::encode_windows(std::string_view text,
                                                bool add_special_tokens) const {
  return windows_of(finish(encode_texts({text}), add_special_tokens, true));
}

std::vector<Encoding> Tokenizer::encode_pair_windows(std::string_view first,
                                                     std::string_view second,
                                                     bool add_special_tokens) const {
  return windows_of(finish(encode_texts({first, second}), add_special_tokens, true));
}

void Tokenizer::drop_length_rules() {
  parts_->truncation.reset();
  parts_->padding.reset();
}

}  // namespace ashlar::text
