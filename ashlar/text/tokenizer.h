// Text to token ids and back, as tokenizer.json describes it and as the Hugging Face `tokenizers`
// library does it: added tokens, normalizer, pre-tokenizer, model, post-processor; decoder. The
// door of this folder.
#pragma once

#include "ashlar/text/added_tokens.h"
#include "ashlar/text/post_processors/post_processor.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ashlar::text {

class Tokenizer {
 public:
  // Throws Error naming the file, the key, what was found and what was wanted. Nothing that changes
  // ids is passed over: an unknown type is an Error that lists the known ones.
  static Tokenizer from_json_file(const std::string& path);
  // where: the name messages give the text.
  static Tokenizer from_json(std::string_view text, std::string where);

  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;

  // The ids of the text; truncation and padding apply if the file asks for them. Text that is not
  // UTF-8 is encoded byte by byte where it is ill-formed if the tokenizer is byte-level
  // (decode_bytes gives it back), else it is an Error with the byte's offset. Thread-safe.
  std::vector<int32_t> encode(std::string_view text, bool add_special_tokens) const;
  // The same with type ids; and of a pair of texts.
  Encoding encode_with_types(std::string_view text, bool add_special_tokens) const;
  Encoding encode_pair(std::string_view first, std::string_view second,
                       bool add_special_tokens) const;
  // All of a text, or of a pair, that truncation would cut: what it keeps, then the rest in pieces
  // as long, each with special tokens and padding of its own, which overlap by truncation.stride.
  std::vector<Encoding> encode_windows(std::string_view text, bool add_special_tokens) const;
  std::vector<Encoding> encode_pair_windows(std::string_view first, std::string_view second,
                                            bool add_special_tokens) const;
  // From now on truncation and padding are ignored, as a language model's prompt wants it.
  void drop_length_rules();

  // The text of the ids, always UTF-8: bytes that form no character become U+FFFD. An id without a
  // token (models pad their vocabularies) gives no text. Thread-safe.
  std::string decode(std::span<const int32_t> ids, bool skip_special_tokens) const;
  // The same with ill-formed bytes as they are: the exact inverse of encode for byte-level models.
  std::string decode_bytes(std::span<const int32_t> ids, bool skip_special_tokens) const;

  // The kind of model, as tokenizer.json names it: BPE, Unigram, WordPiece, WordLevel.
  std::string_view model_type() const;
  // One more than the largest id, added tokens included: the rows an embedding needs.
  int32_t vocab_size() const;
  std::optional<int32_t> token_to_id(std::string_view token) const;
  // The token as the vocabulary spells it (byte-level: in byte characters). Lives as long as this.
  std::optional<std::string_view> id_to_token(int32_t id) const;
  const std::vector<AddedToken>& added_tokens() const;
  bool is_special(int32_t id) const;
  std::vector<int32_t> special_ids() const;  // rising

  // The tokenizer.json this was made from, and a file with it. Throws Error when it cannot be
  // written.
  const std::string& json() const;
  void save(const std::string& path) const;

 private:
  friend class Detokenizer;
  struct Parts;
  struct Scratch;
  class Lease;
  explicit Tokenizer(std::unique_ptr<Parts> parts);

  std::vector<int32_t> encode_text(std::string_view text) const;
  // Truncation, special tokens and padding of one text or of a pair.
  Encoding finish(std::vector<Encoding> texts, bool add_special_tokens, bool keep_rest) const;
  // The ids of each text, of type 0 and 1.
  std::vector<Encoding> encode_texts(std::initializer_list<std::string_view> texts) const;
  std::string decode(std::span<const int32_t> ids, bool skip_special_tokens, bool exact) const;
  // The token as decoders get it; nullopt for one that gives no text.
  std::optional<std::string_view> decoder_input(int32_t id, bool skip_special_tokens) const;

  std::unique_ptr<Parts> parts_;
};

}  // namespace ashlar::text
