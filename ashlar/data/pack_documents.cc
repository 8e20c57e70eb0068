#include "ashlar/base/error.h"
#include "ashlar/data/best_fit.h"
#include "ashlar/data/packed_rows.h"

#include <algorithm>

namespace ashlar::data {
namespace {

class DocumentRows : public PackedRows {
 public:
  DocumentRows(const TokenSet& tokens, const PackingOptions& options)
      : tokens_(tokens), seq_(options.seq), shift_(options.shift) {
    ASHLAR_CHECK(tokens.lists_documents(),
                 "data {}: tokens without a list of documents cannot be packed by document; set "
                 "data.packing=stream",
                 tokens.name());
    std::vector<int32_t> places(static_cast<size_t>(tokens.documents()));
    report_.documents = tokens.documents();
    int64_t used = 0;
    for (int64_t d = 0; d < tokens.documents(); ++d) {
      const int64_t kept = admit(d);
      places[static_cast<size_t>(d)] = static_cast<int32_t>(kept);
      used += kept;
    }
    rows_ = best_fit(places, static_cast<int32_t>(seq_));
    ASHLAR_CHECK(rows_.size() > 0,
                 "data {}: nothing counts in the first {} tokens of any of its {} documents; raise "
                 "train.seq",
                 tokens.name(), seq_ + shift_, report_.documents);
    const auto all = static_cast<double>(rows_.size() * seq_);
    report_.padding = (all - static_cast<double>(used)) / all;
  }

  int64_t rows() const override { return rows_.size(); }

  void build(int64_t row, Batch& batch, int64_t at) const override {
    RowWriter writer(batch, at);
    for (const uint32_t document : rows_[row]) {
      const int64_t first = tokens_.document_start(document);
      const RowWriter::Places places = writer.sequence(length(document));
      tokens_.read(first, places.tokens);
      tokens_.read(first + shift_, places.targets);
      tokens_.mask(first + shift_, places.targets);
    }
    writer.pad(std::max(0, tokens_.document_end()));
  }

  int64_t valid_tokens(int64_t row) const override {
    int64_t count = 0;
    for (const uint32_t document : rows_[row]) {
      const int64_t first = tokens_.document_start(document);
      count += tokens_.count(first + shift_, first + shift_ + length(document));
    }
    return count;
  }

  PackingReport report() const override { return report_; }

 private:
  // Places that the document takes.
  int64_t length(int64_t document) const {
    const int64_t tokens = tokens_.document_start(document + 1) - tokens_.document_start(document);
    return std::min(tokens - shift_, seq_);
  }

  // The same, or 0 where the document teaches nothing.
  int64_t admit(int64_t document) {
    const int64_t first = tokens_.document_start(document);
    const int64_t end = tokens_.document_start(document + 1);
    const int64_t kept = length(document);
    if (tokens_.count(first + shift_, first + shift_ + kept) == 0) {
      ++report_.skipped;
      return 0;
    }
    if (end - first > seq_ + shift_) {
      ++report_.truncated;
      report_.tokens_cut += end - first - (seq_ + shift_);
    }
    return kept;
  }

  const TokenSet& tokens_;
  int64_t seq_, shift_;
  Bins rows_;
  PackingReport report_;
};

}  // namespace

std::unique_ptr<PackedRows> pack_documents(const TokenSet& tokens, const PackingOptions& options) {
  return std::make_unique<DocumentRows>(tokens, options);
}

}  // namespace ashlar::data
