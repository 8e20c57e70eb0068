#include "ashlar/bundle/pre_tokenizer_by_ids.h"

#include "ashlar/bundle/sample_texts.h"
#include "ashlar/text/models/model.h"
#include "ashlar/text/pre_tokenizers/pre_tokenizer.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <string>
#include <vector>

namespace ashlar::bundle {
namespace {

using nlohmann::json;
using Cuts = std::vector<std::vector<std::string>>;  // words of each text
using Ids = std::vector<std::vector<int32_t>>;       // of each text

Cuts cuts_of(const std::string& pre_tokenizer) {
  const text::JsonDocument document(pre_tokenizer, "pre_tokenizer");
  const auto cutter = text::make_pre_tokenizer(document.root());
  Cuts cuts;
  for (const std::string_view sample : sample_texts()) {
    text::Pieces pieces;
    pieces.reset(sample, true);
    cutter->apply(pieces);
    std::string storage;
    std::vector<std::string>& words = cuts.emplace_back();
    for (const text::Span& span : pieces.spans()) {
      words.emplace_back(text::piece_text(pieces.piece(span), pieces.alphabet(), storage));
    }
  }
  return cuts;
}

Ids ids_of(const text::Tokenizer& tokenizer) {
  Ids ids;
  for (const std::string_view sample : sample_texts())
    ids.push_back(tokenizer.encode(sample, false));
  return ids;
}

// One of each way of cutting.
std::vector<const PreTokenizerPatterns*> candidates(bool ignore_merges) {
  std::vector<const PreTokenizerPatterns*> found;
  for (const PreTokenizerPatterns& pre : all_pre_tokenizers()) {
    if (pre.ignore_merges != ignore_merges) continue;
    const bool again = std::ranges::any_of(
        found, [&](const auto* other) { return other->patterns == pre.patterns; });
    if (!again) found.push_back(&pre);
  }
  return found;
}

}  // namespace

const PreTokenizerPatterns* find_pre_tokenizer_by_ids(const text::Tokenizer& tokenizer,
                                                      bool ignore_merges) {
  json document = json::parse(tokenizer.json());
  const std::vector<const PreTokenizerPatterns*> all = candidates(ignore_merges);
  const Cuts cuts = cuts_of(document["pre_tokenizer"].dump());
  for (const PreTokenizerPatterns* pre : all) {
    if (cuts_of(pre_tokenizer_json(*pre)) == cuts) return pre;
  }
  const Ids ids = ids_of(tokenizer);
  for (const PreTokenizerPatterns* pre : all) {
    document["pre_tokenizer"] = json::parse(pre_tokenizer_json(*pre));
    if (ids_of(text::Tokenizer::from_json(document.dump(), "tokenizer")) == ids) return pre;
  }
  return nullptr;
}

}  // namespace ashlar::bundle
