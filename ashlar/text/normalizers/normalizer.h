// Normalizers rewrite text before it is cut into words (section `normalizer` of tokenizer.json). A
// new type is a class behind this interface, a maker below, and a row in factory.cc.
#pragma once

#include "ashlar/text/json_view.h"

#include <memory>
#include <string>

namespace ashlar::text {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  // Rewrites well-formed UTF-8 in place. Thread-safe.
  virtual void normalize(std::string& text) const = 0;
  // The same at the start of an input, where some do more.
  virtual void normalize_first(std::string& text) const { normalize(text); }
};

// Throws Error for a type that is not known or a field that does not fit.
std::unique_ptr<Normalizer> make_normalizer(JsonView json);

std::unique_ptr<Normalizer> make_unicode_form(JsonView json);  // NFC, NFD, NFKC, NFKD
std::unique_ptr<Normalizer> make_lowercase(JsonView json);
std::unique_ptr<Normalizer> make_strip(JsonView json);
std::unique_ptr<Normalizer> make_strip_accents(JsonView json);
std::unique_ptr<Normalizer> make_nmt(JsonView json);
std::unique_ptr<Normalizer> make_byte_level_normalizer(JsonView json);
std::unique_ptr<Normalizer> make_replace(JsonView json);
std::unique_ptr<Normalizer> make_prepend(JsonView json);
std::unique_ptr<Normalizer> make_bert_normalizer(JsonView json);
std::unique_ptr<Normalizer> make_precompiled(JsonView json);

}  // namespace ashlar::text
