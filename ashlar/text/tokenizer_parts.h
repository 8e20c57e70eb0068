// What a Tokenizer is made of; private to it and to Detokenizer.
#pragma once

#include "ashlar/text/decoders/decoder.h"
#include "ashlar/text/length_rules.h"
#include "ashlar/text/models/model.h"
#include "ashlar/text/normalizers/normalizer.h"
#include "ashlar/text/pre_tokenizers/pre_tokenizer.h"
#include "ashlar/text/tokenizer.h"

#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace ashlar::text {

// The work space of one encode call, kept for the next.
struct Tokenizer::Scratch {
  Pieces pieces;
  std::string normalized;
  std::unique_ptr<ModelScratch> model;
};

struct Tokenizer::Parts {
  std::string json;
  std::unique_ptr<Normalizer> normalizer;       // may be null
  std::unique_ptr<PreTokenizer> pre_tokenizer;  // may be null
  std::unique_ptr<Model> model;
  std::unique_ptr<PostProcessor> post_processor;
  std::unique_ptr<Decoder> decoder;
  AddedTokens added;
  std::optional<Truncation> truncation;
  std::optional<Padding> padding;
  bool encodes_any_bytes = false;

  // Work spaces not in use, at most as many as threads ever encoded at once.
  mutable std::mutex mutex;
  mutable std::vector<std::unique_ptr<Scratch>> idle;
};

// Takes a work space for as long as it lives.
class Tokenizer::Lease {
 public:
  explicit Lease(const Parts& parts);
  ~Lease();
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  Scratch& operator*() const { return *scratch_; }

 private:
  const Parts& parts_;
  std::unique_ptr<Scratch> scratch_;
};

// Gathers decoded text.
class TextSink : public TokenStream {
 public:
  void text(std::string_view fragment) override { text_.append(fragment); }
  void end_token() override {}
  void finish() override {}
  std::string take() { return std::exchange(text_, {}); }

 private:
  std::string text_;
};

}  // namespace ashlar::text
