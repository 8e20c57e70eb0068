// Texts to vectors: tokenizer, model, pooling and normalisation of one folder together. A vector
// does not depend on what else is embedded beside its text, nor on the number of threads.
#pragma once

#include "ashlar/embed/hidden_runner.h"
#include "ashlar/embed/settings.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace ashlar::embed {

struct EmbedderOptions {
  HiddenLimits limits = {};  // tokens are raised to those of the longest text
  DType compute = DType::kF32;
  std::optional<Pooling> pooling = std::nullopt;  // none: the model's
  std::optional<bool> normalize = std::nullopt;
  int64_t max_tokens = 0;  // 0: the model's
};

class Embedder {
 public:
  // The model, the table and the pool outlive this. Throws Error for a model that cannot embed.
  Embedder(const bundle::Bundle& model, const EmbedderOptions& options,
           const kernels::KernelTable& table, ThreadPool& pool,
           const OnLoading& on_loading = nullptr);

  // With the special tokens and the prompt that the model wants; not cut. Throws Error where there
  // is no tokenizer. Thread-safe.
  TokenizedText encode(std::string_view text) const;
  // Cuts what is longer than max_tokens, but not the special tokens at its end. Returns whether it
  // did.
  bool truncate(TokenizedText& text) const;

  // One vector for each text, in order; done(texts) after each batch.
  std::vector<std::vector<float>> embed(std::span<const TokenizedText> texts,
                                        const std::function<void(int64_t done)>& done = nullptr);

  const EmbeddingSettings& settings() const { return settings_; }
  int64_t max_tokens() const { return max_tokens_; }
  // Of a vector.
  int64_t dimensions() const {
    return settings_.dimensions > 0 ? settings_.dimensions : runner_.width();
  }
  int64_t vocab() const { return runner_.vocab(); }
  const text::Tokenizer* tokenizer() const { return tokenizer_ ? &*tokenizer_ : nullptr; }

 private:
  int64_t width() const { return runner_.width(); }
  void embed_batch(std::span<const TokenizedText> texts, std::vector<std::vector<float>>& vectors);

  std::string path_;
  EmbeddingSettings settings_;
  std::optional<text::Tokenizer> tokenizer_;
  size_t tokens_at_end_ = 0;  // that the tokenizer puts behind every text
  HiddenRunner runner_;
  int64_t max_tokens_ = 0;
};

// The first `dimensions` channels, normalised anew where the model normalises.
void shorten(std::vector<float>& vector, int64_t dimensions, bool normalized);

}  // namespace ashlar::embed
