#include "ashlar/base/error.h"
#include "ashlar/data/packed_rows.h"

#include <algorithm>

namespace ashlar::data {
namespace {

class StreamRows : public PackedRows {
 public:
  StreamRows(const TokenSet& tokens, const PackingOptions& options)
      : tokens_(tokens), options_(options) {
    ASHLAR_CHECK(!options.isolate || tokens.lists_documents() || tokens.document_end() >= 0,
                 "data {}: its documents are not known: the tokenizer has no end-of-document "
                 "token; set data.isolate=false",
                 tokens.name());
  }

  int64_t rows() const override { return (predictions() + options_.seq - 1) / options_.seq; }

  void build(int64_t row, Batch& batch, int64_t at) const override {
    const auto [first, end] = range(row);
    RowWriter writer(batch, at);
    int64_t begin = first;  // of the sequence
    const auto close = [&](int64_t stop) {
      const RowWriter::Places places = writer.sequence(stop - begin);
      tokens_.read(begin, places.tokens);
      tokens_.read(begin + options_.shift, places.targets);
      tokens_.mask(begin + options_.shift, places.targets);
      begin = stop;
      return places;
    };
    if (options_.isolate) {
      tokens_.each_start(first + 1, end + options_.shift, [&](int64_t start) {
        const RowWriter::Places places = close(start);
        // The last token of a document does not predict the first of the next.
        if (options_.shift > 0) places.targets.back() = -1;
      });
    }
    if (begin < end) close(end);
    writer.pad(std::max(0, tokens_.document_end()));
  }

  int64_t valid_tokens(int64_t row) const override {
    const auto [first, end] = range(row);
    int64_t count = tokens_.count(first + options_.shift, end + options_.shift);
    if (options_.isolate && options_.shift > 0) {
      tokens_.each_start(first + 1, end + 1,
                         [&](int64_t start) { count -= tokens_.counted(start) ? 1 : 0; });
    }
    return count;
  }

  PackingReport report() const override {
    const int64_t places = rows() * options_.seq;
    return {.documents = tokens_.lists_documents() ? tokens_.documents() : 0,
            .padding = static_cast<double>(places - predictions()) / static_cast<double>(places)};
  }

 private:
  struct Range {
    int64_t first, end;  // tokens read; those predicted are `shift` further
  };
  int64_t predictions() const { return tokens_.tokens() - options_.shift; }
  Range range(int64_t row) const {
    const int64_t first = row * options_.seq;
    return {first, std::min(first + options_.seq, predictions())};
  }

  const TokenSet& tokens_;
  PackingOptions options_;
};

}  // namespace

std::unique_ptr<PackedRows> pack_stream(const TokenSet& tokens, const PackingOptions& options) {
  return std::make_unique<StreamRows>(tokens, options);
}

}  // namespace ashlar::data
