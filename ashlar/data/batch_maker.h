// Cuts the global batch of a step into the microbatches of one rank. Row j of the global batch is
// row first_row + j of the order; rank r of n takes the r-th n-th of them, microbatch after
// microbatch. So the global batch is the same for any number of ranks.
#pragma once

#include "ashlar/data/batch.h"
#include "ashlar/data/masking.h"
#include "ashlar/data/packed_rows.h"
#include "ashlar/data/row_order.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

namespace ashlar::data {

struct BatchShape {
  int64_t batch = 1;       // rows of the global batch
  int64_t microbatch = 1;  // rows that a rank takes at once
  int64_t rank = 0, ranks = 1;
  int64_t seq = 0;

  int64_t rank_rows() const { return batch / ranks; }
  // Refuses a batch that does not divide and names the nearest that does.
  void validate() const;
};

class BatchMaker {
 public:
  // The sources must outlive it. masking: of rows whose targets are their tokens.
  BatchMaker(std::span<const std::unique_ptr<PackedRows>> sources, RowOrder order,
             const BatchShape& shape, std::optional<SeededMasking> masking = std::nullopt);

  // Buffers that hold any batch, so that make() allocates nothing (but for masking on several
  // ranks).
  StepBatch reserve() const { return reserve(shape_); }
  static StepBatch reserve(const BatchShape& shape);
  void make(int64_t first_row, StepBatch& out) const;

  // Steps until every row was seen once.
  int64_t steps() const { return (order_.rows() + shape_.batch - 1) / shape_.batch; }
  const BatchShape& shape() const { return shape_; }
  const RowOrder& order() const { return order_; }

 private:
  void make_microbatch(int64_t first_row, Batch& out) const;
  // Fills row number `at` of the batch; returns how many of its targets count.
  int64_t make_row(int64_t row, Batch& out, int64_t at) const;
  int64_t valid_tokens(int64_t row, Batch& scratch) const;

  std::span<const std::unique_ptr<PackedRows>> sources_;
  RowOrder order_;
  BatchShape shape_;
  std::optional<SeededMasking> masking_;
};

}  // namespace ashlar::data
