// Post-processors put special tokens around what the model made (section `post_processor` of
// tokenizer.json). A new type is a maker below and a row in factory.cc.
#pragma once

#include "ashlar/text/json_view.h"

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace ashlar::text {

// Token ids and, beside each, which part of a pair it belongs to (BERT's segment).
struct Encoding {
  std::vector<int32_t> ids;
  std::vector<int32_t> type_ids;
};

class PostProcessor {
 public:
  virtual ~PostProcessor() = default;
  // One sequence, or the two of a pair.
  virtual Encoding process(std::span<const std::vector<int32_t>> sequences,
                           bool add_special_tokens) const = 0;
  // Special tokens that process() adds to one sequence or to a pair.
  virtual size_t added_tokens(size_t sequences) const = 0;
  // Whether ids stay as they are (ByteLevel only moves offsets).
  virtual bool is_identity() const { return false; }
};

// Throws Error for a type that is not known or a field that does not fit. Never null; without a
// section (nullopt) sequences are only put one after the other.
std::unique_ptr<PostProcessor> make_post_processor(std::optional<JsonView> json);

std::unique_ptr<PostProcessor> make_identity_processor(JsonView json);
std::unique_ptr<PostProcessor> make_template_processing(JsonView json);
std::unique_ptr<PostProcessor> make_bert_processing(JsonView json);
std::unique_ptr<PostProcessor> make_roberta_processing(JsonView json);

}  // namespace ashlar::text
