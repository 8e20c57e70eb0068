#include "ashlar/data/dataset.h"

#include "ashlar/base/checksum.h"
#include "ashlar/base/error.h"
#include "ashlar/base/log.h"
#include "ashlar/data/token_cache.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace ashlar::data {
namespace {

std::vector<double> weights_of(const std::vector<Source>& sources) {
  std::vector<double> weights;
  for (const Source& source : sources) {
    if (source.weight > 0) weights.push_back(source.weight);
  }
  if (!weights.empty() && weights.size() < sources.size()) {
    const auto bare = std::ranges::find(sources, 0.0, &Source::weight);
    fail_usage("config data.train: {} has no weight, others have one; write {}:1, say", bare->path,
               bare->path);
  }
  return weights;
}

void report(const TokenSet& tokens, const PackedRows& rows) {
  const PackingReport report = rows.report();
  log::info("event=data source={} tokens={} documents={} rows={} padding={:.1f}%", tokens.name(),
            tokens.tokens(), report.documents, rows.rows(), report.padding * 100);
  if (report.truncated > 0) {
    log::warn("event=documents_cut source={} documents={} tokens_lost={} fix=\"raise train.seq\"",
              tokens.name(), report.truncated, report.tokens_cut);
  }
  if (report.skipped > 0) {
    log::warn("event=documents_skipped source={} documents={} reason=\"nothing in them counts\"",
              tokens.name(), report.skipped);
  }
}

Dataset open(const DataConfig& config, const std::vector<std::string>& specs, DocumentChoice choice,
             int64_t seq, const Encoder& encoder, ThreadPool& pool,
             const std::optional<Masking>& masking) {
  config.validate();
  CacheOptions options{.folder = config.cache.empty() ? default_cache_folder() : config.cache,
                       .source = {},
                       .choice = choice,
                       .bad_utf8 = config.bad_utf8};
  if (!config.extensions.empty()) options.source.extensions = config.extensions;
  options.source.max_bytes = config.max_bytes;
  std::vector<Source> sources;
  for (const std::string& spec : specs) sources.push_back(Source::parse(spec));
  const std::vector<double> weights = weights_of(sources);  // before hours of encoding
  std::vector<TokenSet> tokens;
  for (const Source& source : sources) {
    tokens.push_back(open_tokens(source, encoder, options, pool));
  }
  Dataset data(std::move(tokens), weights, config.packing, config.isolate, seq, masking);
  for (size_t i = 0; i < data.sources().size(); ++i) {
    report(*data.sources()[i], *data.packed()[i]);
  }
  return data;
}

}  // namespace

Dataset Dataset::open_train(const DataConfig& config, int64_t seq, const Encoder& encoder,
                            ThreadPool& pool, const std::optional<Masking>& masking) {
  return open(config, config.train, {config.valid_share, false}, seq, encoder, pool, masking);
}

Dataset Dataset::open_valid(const DataConfig& config, int64_t seq, const Encoder& encoder,
                            ThreadPool& pool, const std::optional<Masking>& masking) {
  ASHLAR_CHECK(has_valid(config), "config data.valid: nothing to validate on");
  if (config.valid.empty()) {
    return open(config, config.train, {config.valid_share, true}, seq, encoder, pool, masking);
  }
  return open(config, config.valid, {}, seq, encoder, pool, masking);
}

bool Dataset::has_valid(const DataConfig& config) {
  return !config.valid.empty() || config.valid_share > 0;
}

Dataset::Dataset(std::vector<TokenSet> sources, std::vector<double> weights, Packing packing,
                 std::optional<bool> isolate, int64_t seq, std::optional<Masking> masking)
    : seq_(seq), weights_(std::move(weights)), masking_(std::move(masking)) {
  if (seq < 1) fail_usage("config train.seq: {} is not positive", seq);
  const auto is_whole = [&](const TokenSet& source) {  // auto gives way where isolate is false
    return packing == Packing::kDocuments ||
           (packing == Packing::kAuto && source.has_mask() && isolate != false);
  };
  const auto whole = std::ranges::count_if(sources, is_whole);
  isolate_ = whole > 0 || isolate.value_or(false);
  documents_ = whole == std::ssize(sources) ? Documents::kAll
               : whole > 0                  ? Documents::kSome
                                            : Documents::kNone;
  for (TokenSet& source : sources) {
    const bool keeps = is_whole(source);
    sources_.push_back(std::make_unique<TokenSet>(std::move(source)));
    const PackingOptions options{.seq = seq, .isolate = isolate_, .shift = masking_ ? 0 : 1};
    packed_.push_back(keeps ? pack_documents(*sources_.back(), options)
                            : pack_stream(*sources_.back(), options));
  }
}

int64_t Dataset::rows() const {
  const std::vector<int64_t> counts = row_counts();
  return std::accumulate(counts.begin(), counts.end(), int64_t{0});
}

int64_t Dataset::tokens() const {
  int64_t total = 0;
  for (const auto& source : sources_) total += source->tokens();
  return total;
}

int64_t Dataset::text_bytes() const {
  int64_t total = 0;
  for (const auto& source : sources_) {
    if (source->text_bytes() == 0) return 0;
    total += source->text_bytes();
  }
  return total;
}

std::vector<int64_t> Dataset::row_counts() const {
  std::vector<int64_t> counts;
  for (const auto& rows : packed_) counts.push_back(rows->rows());
  return counts;
}

BatchMaker Dataset::shuffled(BatchShape shape, uint64_t seed) const {
  shape.seq = seq_;
  return {packed_, RowOrder::shuffled(row_counts(), weights_, seed), shape, masking(seed)};
}

BatchMaker Dataset::in_order(BatchShape shape) const {
  shape.seq = seq_;
  return {packed_, RowOrder::in_order(row_counts()), shape, masking(0)};
}

std::optional<SeededMasking> Dataset::masking(uint64_t seed) const {
  if (!masking_) return std::nullopt;
  return SeededMasking{*masking_, seed};
}

uint64_t Dataset::fingerprint() const {
  Xxh64 hash;
  const auto add = [&hash](const auto& value) { hash.update(std::as_bytes(std::span(&value, 1))); };
  add(seq_);
  add(isolate_);
  add(documents_);
  if (masking_) add('m');  // rows of other tokens
  for (const double weight : weights_) add(weight);
  for (const auto& source : sources_) add(source->fingerprint());
  return hash.digest();
}

}  // namespace ashlar::data
