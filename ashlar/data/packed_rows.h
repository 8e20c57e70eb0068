// One source cut into rows of `seq` tokens. Row r is a pure function of the tokens and the options.
#pragma once

#include "ashlar/data/batch.h"
#include "ashlar/data/token_set.h"

#include <cstdint>
#include <memory>

namespace ashlar::data {

struct PackingOptions {
  int64_t seq = 0;
  // Whether documents may not attend to each other. Then no document's first token is a target.
  bool isolate = false;
  // Targets are the tokens so many places on: the next ones, or (0) the tokens themselves, some of
  // which will be hidden (masking.h).
  int64_t shift = 1;
};

// What was left out or cut, for one warning.
struct PackingReport {
  int64_t documents = 0;
  int64_t truncated = 0;   // longer than a row
  int64_t tokens_cut = 0;  // of those
  int64_t skipped = 0;     // nothing in them counts
  double padding = 0;      // share of the rows' tokens
};

// Where a row goes: row number `row` of a batch whose vectors have room for it.
class RowWriter {
 public:
  RowWriter(Batch& batch, int64_t row) : batch_(batch), begin_(row * batch.seq), at_(begin_) {}

  // The next `count` places, as one sequence: its tokens and targets are to be filled in.
  struct Places {
    std::span<int32_t> tokens, targets;
  };
  Places sequence(int64_t count);
  // The rest of the row: a sequence of its own that does not count.
  void pad(int32_t token);

 private:
  Batch& batch_;
  int64_t begin_, at_;
};

class PackedRows {
 public:
  virtual ~PackedRows() = default;
  virtual int64_t rows() const = 0;
  // Appends the row's sequences to batch.row_start and fills row number `at` of its other vectors.
  virtual void build(int64_t row, Batch& batch, int64_t at) const = 0;
  // How many targets of the row count, without building it.
  virtual int64_t valid_tokens(int64_t row) const = 0;
  virtual PackingReport report() const = 0;
};

// The whole stream cut every `seq` tokens: each token but the first is a target once, each but the
// last is read once (with shift 0: each is both). The last row is padded.
std::unique_ptr<PackedRows> pack_stream(const TokenSet& tokens, const PackingOptions& options);

// Whole documents, as many as fit, each on its own: best fit decreasing. A document of n tokens
// takes n - 1 places, since its last token is only a target (with shift 0: n). Longer ones are cut
// to a row. Those in which nothing counts are left out.
std::unique_ptr<PackedRows> pack_documents(const TokenSet& tokens, const PackingOptions& options);

}  // namespace ashlar::data
