// Post-processors put special tokens around what the model made (section `post_processor` of
// tokenizer.json). A new type is a maker below and a row in factory.cc.
#pragma once

#include "ashlar/text/json_view.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace ashlar::text {

// Token ids and, beside each, which part of a pair it belongs to (BERT's segment).
struct Encoding {
  std::vector<int32_t> ids;
  std::vector<int32_t> type_ids;
  // What truncation cut off, where it is kept: pieces as long as this, without such ones of their
  // own.
  std::vector<Encoding> overflowing = {};

  // Puts other behind this; each piece of the one is combined with the other and all its pieces.
  void append(const Encoding& other);
  bool operator==(const Encoding&) const = default;
};

class PostProcessor {
 public:
  virtual ~PostProcessor() = default;
  // parts: one text or the two of a pair, or what the step before made of them. The result is all
  // parts one after the other; a step behind this one sees them apart, as in Hugging Face
  // tokenizers.
  virtual std::vector<Encoding> process(std::vector<Encoding> parts,
                                        bool add_special_tokens) const = 0;
  // Special tokens that process() adds to one text or to a pair.
  virtual size_t added_tokens(size_t texts) const = 0;
  // Whether ids stay as they are (ByteLevel only moves offsets).
  virtual bool is_identity() const { return false; }
};

// Throws Error for a type that is not known or a field that does not fit. Never null; without a
// section (nullopt) texts are only put one after the other.
std::unique_ptr<PostProcessor> make_post_processor(std::optional<JsonView> json);

std::unique_ptr<PostProcessor> make_identity_processor(JsonView json);
std::unique_ptr<PostProcessor> make_template_processing(JsonView json);
std::unique_ptr<PostProcessor> make_bert_processing(JsonView json);
std::unique_ptr<PostProcessor> make_roberta_processing(JsonView json);

}  // namespace ashlar::text
