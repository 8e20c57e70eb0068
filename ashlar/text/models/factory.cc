#include "ashlar/text/factory.h"

#include "ashlar/text/byte_chars.h"
#include "ashlar/text/models/model.h"

namespace ashlar::text {
namespace {

constexpr FactoryRow<Model> kRows[] = {
    {"BPE", make_bpe},
    {"Unigram", make_unigram},
    {"WordLevel", make_word_level},
    {"WordPiece", make_word_piece},
};

// Files of old versions leave the type out: the tokenizers library then takes the first of BPE,
// WordPiece, WordLevel and Unigram that the members fit.
std::unique_ptr<Model> make_untyped(JsonView json) {
  if (json.find("merges")) return make_bpe(json);
  if (json.find("max_input_chars_per_word")) return make_word_piece(json);
  const JsonView vocab = json.at("vocab");
  if (vocab.is_array()) return make_unigram(json);
  if (json.find("unk_token")) return make_word_level(json);
  json.fail(
      "has no key \"type\", and is like no model: no merges, max_input_chars_per_word or "
      "unk_token");
}

}  // namespace

std::unique_ptr<Model> make_model(JsonView json) {
  if (!json.find("type")) return make_untyped(json);
  return make_component<Model>("model", json, kRows);
}

std::string_view piece_text(std::string_view piece, Alphabet alphabet, std::string& storage) {
  if (alphabet == Alphabet::kText) return piece;
  storage.clear();
  append_byte_chars(storage, piece);
  return storage;
}

}  // namespace ashlar::text
