#include "tests/text/stages.h"

#include "ashlar/text/byte_chars.h"

namespace ashlar::text {

Stage::Stage(const std::string& json) {
  const JsonDocument document(json, "stage");
  if (const auto normalizer = document.root().find("normalizer")) {
    normalizer_ = make_normalizer(*normalizer);
  } else {
    pre_tokenizer_ = make_pre_tokenizer(document.root().at("pre_tokenizer"));
  }
}

std::string Stage::pieces(std::string_view text) const {
  std::string out;
  if (normalizer_ != nullptr) {
    std::string normalized(text);
    normalizer_->normalize(normalized);
    return normalized + kPieceEnd + kTextEnd;
  }
  Pieces pieces;
  pieces.reset(text, true);
  pre_tokenizer_->apply(pieces);
  for (const Span& span : pieces.spans()) {
    if (pieces.alphabet() == Alphabet::kBytes) {
      append_byte_chars(out, pieces.piece(span));
    } else {
      out += pieces.piece(span);
    }
    out += kPieceEnd;
  }
  return out + kTextEnd;
}

}  // namespace ashlar::text
