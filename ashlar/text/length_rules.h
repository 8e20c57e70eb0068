// Truncation and padding (sections of tokenizer.json): how long an encoded text, or a pair of them,
// may and must be.
#pragma once

#include "ashlar/text/json_view.h"
#include "ashlar/text/post_processors/post_processor.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace ashlar::text {

enum class Side { kLeft, kRight };

struct Truncation {
  enum class Strategy { kLongestFirst, kOnlyFirst, kOnlySecond };

  int64_t max_length = 0;  // tokens, special ones included
  Strategy strategy = Strategy::kLongestFirst;
  Side direction = Side::kRight;  // the side that is cut off
  int64_t stride = 0;             // tokens that a piece of the rest shares with the one before

  static std::optional<Truncation> from_json(std::optional<JsonView> json);
  // Cuts one text or a pair so that `added` special tokens still fit; with keep_rest what is cut
  // off stays, as pieces. Throws Error when the special tokens alone do not fit, when the text that
  // the strategy names is not there or too short, and when pieces would be no longer than they
  // overlap.
  void apply(std::vector<Encoding>& texts, size_t added, bool keep_rest = false) const;
};

struct Padding {
  std::optional<int64_t> fixed_length;  // nullopt: the longest of a batch
  int64_t multiple_of = 1;
  Side direction = Side::kRight;
  int32_t id = 0;
  int32_t type_id = 0;

  static std::optional<Padding> from_json(std::optional<JsonView> json);
  // The pieces of the rest are padded to the same length.
  void apply(Encoding& encoding) const;
};

}  // namespace ashlar::text
