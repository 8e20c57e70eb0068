#include "ashlar/embed/embedder.h"

#include "ashlar/base/error.h"
#include "ashlar/text/normalizers/case_and_form.h"

#include <algorithm>

namespace ashlar::embed {
namespace {

std::optional<text::Tokenizer> tokenizer_of(const bundle::Bundle& model) {
  if (!model.has_tokenizer()) return std::nullopt;
  return model.load_tokenizer();
}

// A run has room for the longest text.
HiddenLimits limits_for(const bundle::Bundle& model, HiddenLimits limits, int64_t max_tokens) {
  int64_t longest = model.description().max_positions;
  if (max_tokens > 0) longest = std::min(longest, max_tokens);
  limits.tokens = std::max(limits.tokens, longest);
  return limits;
}

EmbeddingSettings settings_for(const bundle::Bundle& model, const EmbedderOptions& options) {
  EmbeddingSettings settings = settings_of(model);
  settings.pooling = options.pooling.value_or(settings.pooling);
  settings.normalize = options.normalize.value_or(settings.normalize);
  if (options.max_tokens > 0) settings.max_tokens = options.max_tokens;
  return settings;
}

// How many tokens stand behind a text.
size_t count_tokens_at_end(const text::Tokenizer& tokenizer) {
  const std::vector<int32_t> bare = tokenizer.encode("a", false);
  const std::vector<int32_t> whole = tokenizer.encode("a", true);
  const auto found = std::ranges::search(whole, bare);
  return bare.empty() ? 0 : static_cast<size_t>(whole.end() - found.end());
}

}  // namespace

Embedder::Embedder(const bundle::Bundle& model, const EmbedderOptions& options,
                   const kernels::KernelTable& table, ThreadPool& pool, const OnLoading& on_loading)
    : path_(model.path()),
      settings_(settings_for(model, options)),
      tokenizer_(tokenizer_of(model)),
      tokens_at_end_(tokenizer_ ? count_tokens_at_end(*tokenizer_) : 0),
      runner_(model, limits_for(model, options.limits, settings_.max_tokens), options.compute,
              table, pool, on_loading) {
  max_tokens_ = runner_.max_positions();
  if (settings_.max_tokens > 0) max_tokens_ = std::min(max_tokens_, settings_.max_tokens);
  ASHLAR_CHECK(options.max_tokens <= max_tokens_,
               "model {}: {} tokens a text asked for, the model has positions for {}", path_,
               options.max_tokens, max_tokens_);
  ASHLAR_CHECK(settings_.dimensions <= width(), "model {}: truncate_dim is {}, vectors have {}",
               path_, settings_.dimensions, width());
}

TokenizedText Embedder::encode(std::string_view text) const {
  ASHLAR_CHECK(tokenizer_.has_value(), "model {} has no tokenizer; give token ids", path_);
  std::string whole = settings_.prompt + std::string(text);
  if (settings_.lower_case) text::to_lower(whole);
  text::Encoding encoding = tokenizer_->encode_with_types(whole, true);
  return {std::move(encoding.ids), std::move(encoding.type_ids)};
}

bool Embedder::truncate(TokenizedText& text) const {
  const auto limit = static_cast<size_t>(max_tokens_);
  if (text.ids.size() <= limit) return false;
  const auto cut = [&](std::vector<int32_t>& values) {
    if (values.empty()) return;
    const size_t kept_at_end = std::min(tokens_at_end_, limit);
    const auto end = values.end() - static_cast<std::ptrdiff_t>(kept_at_end);
    values.erase(values.begin() + static_cast<std::ptrdiff_t>(limit - kept_at_end), end);
  };
  cut(text.ids);
  cut(text.types);
  return true;
}

std::vector<std::vector<float>> Embedder::embed(std::span<const TokenizedText> texts,
                                                const std::function<void(int64_t done)>& done) {
  std::vector<std::vector<float>> vectors;
  vectors.reserve(texts.size());
  for (size_t begin = 0; begin < texts.size();) {
    auto tokens = static_cast<int64_t>(texts[begin].ids.size());
    size_t end = begin + 1;
    while (end < texts.size() && static_cast<int64_t>(end - begin) < runner_.limits().seqs) {
      tokens += static_cast<int64_t>(texts[end].ids.size());
      if (tokens > runner_.limits().tokens) break;
      ++end;
    }
    embed_batch(texts.subspan(begin, end - begin), vectors);
    begin = end;
    if (done) done(static_cast<int64_t>(begin));
  }
  return vectors;
}

void Embedder::embed_batch(std::span<const TokenizedText> texts,
                           std::vector<std::vector<float>>& vectors) {
  std::vector<const TokenizedText*> batch;
  for (const TokenizedText& text : texts) batch.push_back(&text);
  std::span<const float> rows = runner_.run(batch);
  for (const TokenizedText& text : texts) {
    const size_t count = text.ids.size() * static_cast<size_t>(width());
    vectors.push_back(pool(settings_.pooling, rows.first(count), width()));
    if (settings_.normalize) normalize(vectors.back());
    vectors.back().resize(static_cast<size_t>(dimensions()));
    rows = rows.subspan(count);
  }
}

void shorten(std::vector<float>& vector, int64_t dimensions, bool normalized) {
  ASHLAR_CHECK(dimensions >= 1 && dimensions <= std::ssize(vector),
               "dimensions: {} asked for, the model has {}", dimensions, vector.size());
  vector.resize(static_cast<size_t>(dimensions));
  if (normalized) normalize(vector);
}

}  // namespace ashlar::embed
