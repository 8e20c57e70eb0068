#include "ashlar/bundle/pre_tokenizer_by_ids.h"

#include "ashlar/bundle/sample_texts.h"
#include "ashlar/text/models/model.h"
#include "ashlar/text/pre_tokenizers/pre_tokenizer.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <iterator>
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

template <typename Texts>
Ids ids_of(const text::Tokenizer& tokenizer, const Texts& texts) {
  Ids ids;
  for (const auto& text : texts) ids.push_back(tokenizer.encode(text, false));
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
  const Cuts cuts = cuts_of(document["pre_tokenizer"].dump());
  const auto with = [&](const PreTokenizerPatterns& pre) {
    document["pre_tokenizer"] = json::parse(pre_tokenizer_json(pre));
    return text::Tokenizer::from_json(document.dump(), "tokenizer");
  };
  const std::vector<const PreTokenizerPatterns*> all = candidates(ignore_merges);
  std::vector<const PreTokenizerPatterns*> alike;
  std::ranges::copy_if(all, std::back_inserter(alike),
                       [&](const auto* pre) { return cuts_of(pre_tokenizer_json(*pre)) == cuts; });
  if (alike.empty()) {
    const Ids ids = ids_of(tokenizer, sample_texts());
    std::ranges::copy_if(all, std::back_inserter(alike), [&](const auto* pre) {
      return ids_of(with(*pre), sample_texts()) == ids;
    });
  }
  if (alike.size() == 1) return alike.front();
  const std::vector<std::string> vocabulary = vocabulary_texts(tokenizer);
  const Ids own = ids_of(tokenizer, vocabulary);
  const PreTokenizerPatterns* best = nullptr;
  size_t fewest = vocabulary.size() + 1;
  for (const PreTokenizerPatterns* pre : alike) {
    const Ids found = ids_of(with(*pre), vocabulary);
    size_t others = 0;
    for (size_t i = 0; i < own.size(); ++i) others += found[i] == own[i] ? 0 : 1;
    if (others >= fewest) continue;
    fewest = others;
    best = pre;
  }
  return best;
}

}  // namespace ashlar::bundle
