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

}  // namespace

std::unique_ptr<Model> make_model(JsonView json) {
  // Files of old versions leave the type out when it is BPE.
  if (!json.find("type") && json.find("merges")) return make_bpe(json);
  return make_component<Model>("model", json, kRows);
}

std::string_view piece_text(std::string_view piece, Alphabet alphabet, std::string& storage) {
  if (alphabet == Alphabet::kText) return piece;
  storage.clear();
  append_byte_chars(storage, piece);
  return storage;
}

}  // namespace ashlar::text
