#include "ashlar/data/batch_maker.h"

#include "ashlar/base/error.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace ashlar::data {

void BatchShape::validate() const {
  ASHLAR_CHECK(ranks > 0 && rank >= 0 && rank < ranks, "data: rank {} of {}", rank, ranks);
  if (seq < 1) fail_usage("config train.seq: {} is not positive", seq);
  if (batch < 1) fail_usage("config train.batch: {} is not positive", batch);
  if (microbatch < 1) fail_usage("config train.microbatch: {} is not positive", microbatch);
  const int64_t unit = microbatch * ranks;
  if (batch % unit != 0) {
    const int64_t nearest = std::max<int64_t>(1, (batch + unit / 2) / unit) * unit;
    fail_usage(
        "config train.batch: {} sequences do not divide into microbatches of {} on {} rank{}; the "
        "nearest that does is {}",
        batch, microbatch, ranks, ranks == 1 ? "" : "s", nearest);
  }
  if (microbatch > std::numeric_limits<int32_t>::max() / seq) {
    fail_usage("config train.microbatch: {} sequences of {} tokens are more than 2^31 tokens",
               microbatch, seq);
  }
}

BatchMaker::BatchMaker(std::span<const std::unique_ptr<PackedRows>> sources, RowOrder order,
                       const BatchShape& shape, std::optional<SeededMasking> masking)
    : sources_(sources), order_(std::move(order)), shape_(shape), masking_(std::move(masking)) {
  shape_.validate();
}

StepBatch BatchMaker::reserve(const BatchShape& shape) {
  StepBatch step;
  const auto tokens = static_cast<size_t>(shape.microbatch * shape.seq);
  step.microbatches.resize(static_cast<size_t>(shape.rank_rows() / shape.microbatch));
  for (Batch& batch : step.microbatches) {
    batch.rows = shape.microbatch;
    batch.seq = shape.seq;
    batch.tokens.resize(tokens);
    batch.targets.resize(tokens);
    batch.positions.resize(tokens);
    batch.row_start.reserve(tokens + 1);  // no more sequences than tokens
  }
  return step;
}

void BatchMaker::make(int64_t first_row, StepBatch& out) const {
  out.first_row = first_row;
  out.epoch = static_cast<double>(first_row + shape_.batch) / static_cast<double>(order_.rows());
  const int64_t mine = first_row + shape_.rank * shape_.rank_rows();
  for (size_t i = 0; i < out.microbatches.size(); ++i) {
    make_microbatch(mine + static_cast<int64_t>(i) * shape_.microbatch, out.microbatches[i]);
  }
  // What is hidden in the rows of other ranks shows when they are made.
  Batch scratch;
  if (masking_ && shape_.ranks > 1) {
    scratch = std::move(reserve({.seq = shape_.seq}).microbatches.front());
  }
  out.valid_tokens = 0;
  for (const Batch& batch : out.microbatches) out.valid_tokens += batch.valid_tokens;
  for (int64_t row = first_row; row < first_row + shape_.batch; ++row) {
    if (row >= mine && row < mine + shape_.rank_rows()) continue;
    out.valid_tokens += valid_tokens(row, scratch);
  }
}

int64_t BatchMaker::valid_tokens(int64_t row, Batch& scratch) const {
  scratch.row_start.clear();
  if (masking_) return make_row(row, scratch, 0);
  const RowRef ref = order_.at(row);
  return ref.row < 0 ? 0 : sources_[static_cast<size_t>(ref.source)]->valid_tokens(ref.row);
}

int64_t BatchMaker::make_row(int64_t row, Batch& out, int64_t at) const {
  const RowRef ref = order_.at(row);
  if (ref.row < 0) {
    RowWriter(out, at).pad(0);
    return 0;
  }
  const PackedRows& source = *sources_[static_cast<size_t>(ref.source)];
  source.build(ref.row, out, at);
  if (masking_) return masking_->masking.hide(masking_->seed, row, out, at);
  return source.valid_tokens(ref.row);
}

void BatchMaker::make_microbatch(int64_t first_row, Batch& out) const {
  out.row_start.clear();
  out.valid_tokens = 0;
  for (int64_t i = 0; i < out.rows; ++i) out.valid_tokens += make_row(first_row + i, out, i);
  out.row_start.push_back(static_cast<int32_t>(out.rows * out.seq));
}

}  // namespace ashlar::data
