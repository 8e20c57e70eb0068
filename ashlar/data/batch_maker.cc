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
                       const BatchShape& shape)
    : sources_(sources), order_(std::move(order)), shape_(shape) {
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
  out.valid_tokens = 0;
  for (int64_t row = first_row; row < first_row + shape_.batch; ++row) {
    const RowRef ref = order_.at(row);
    if (ref.row < 0) continue;
    out.valid_tokens += sources_[static_cast<size_t>(ref.source)]->valid_tokens(ref.row);
  }
}

void BatchMaker::make_microbatch(int64_t first_row, Batch& out) const {
  out.row_start.clear();
  out.valid_tokens = 0;
  for (int64_t i = 0; i < out.rows; ++i) {
    const RowRef ref = order_.at(first_row + i);
    if (ref.row < 0) {
      RowWriter(out, i).pad(0);
      continue;
    }
    const PackedRows& source = *sources_[static_cast<size_t>(ref.source)];
    source.build(ref.row, out, i);
    out.valid_tokens += source.valid_tokens(ref.row);
  }
  out.row_start.push_back(static_cast<int32_t>(out.rows * out.seq));
}

}  // namespace ashlar::data
