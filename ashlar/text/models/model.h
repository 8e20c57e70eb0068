// Models turn a piece of text into token ids (section `model` of tokenizer.json). A new model is a
// class behind this interface, a maker below, and a row in factory.cc.
#pragma once

#include "ashlar/text/json_view.h"
#include "ashlar/text/pieces.h"
#include "ashlar/text/vocabulary.h"

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace ashlar::text {

// What one thread keeps between pieces: caches and work space. Made by its model.
class ModelScratch {
 public:
  virtual ~ModelScratch() = default;
};

class Model {
 public:
  virtual ~Model() = default;

  virtual std::string_view type() const = 0;  // as tokenizer.json names it
  virtual const Vocabulary& vocabulary() const = 0;
  virtual std::unique_ptr<ModelScratch> make_scratch() const {
    return std::make_unique<ModelScratch>();
  }
  // Appends the piece's ids. Thread-safe with one scratch a thread, which make_scratch() made.
  // Throws Error when the piece has no ids (a model that lacks its unknown token).
  virtual void tokenize(std::string_view piece, Alphabet alphabet, ModelScratch& scratch,
                        std::vector<int32_t>& ids) const = 0;
  // Whether any bytes read with Alphabet::kBytes can be encoded without loss.
  virtual bool covers_all_bytes() const { return false; }
};

// Throws Error for a type that is not known or a field that does not fit.
std::unique_ptr<Model> make_model(JsonView json);

std::unique_ptr<Model> make_bpe(JsonView json);
std::unique_ptr<Model> make_word_piece(JsonView json);
std::unique_ptr<Model> make_word_level(JsonView json);
std::unique_ptr<Model> make_unigram(JsonView json);

// The piece as text: written out in the byte alphabet when that is how it is to be read.
std::string_view piece_text(std::string_view piece, Alphabet alphabet, std::string& storage);

}  // namespace ashlar::text
