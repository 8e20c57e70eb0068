// What a trainer gets: rows of `seq` tokens laid end to end. Documents that must not see each other
// are sequences of their own (row_start, as AttentionArgs has it), and positions restart in each.
#pragma once

#include <cstdint>
#include <vector>

namespace ashlar::data {

struct Batch {  // one microbatch of one rank; T = rows * seq
  int64_t rows = 0, seq = 0;
  std::vector<int32_t> tokens;     // [T]
  std::vector<int32_t> targets;    // [T] the next token; -1 where it does not count
  std::vector<int32_t> positions;  // [T] within the sequence
  std::vector<int32_t> row_start;  // [sequences + 1]
  int64_t valid_tokens = 0;        // targets that count

  int64_t sequences() const { return static_cast<int64_t>(row_start.size()) - 1; }
  int64_t bytes() const {
    return static_cast<int64_t>(
        (tokens.capacity() + targets.capacity() + positions.capacity() + row_start.capacity()) *
        sizeof(int32_t));
  }
};

struct StepBatch {           // one optimizer step of one rank
  int64_t first_row = 0;     // of the global batch, counted from the start of training
  double epoch = 0;          // passes over the data when the step is done
  int64_t valid_tokens = 0;  // of the global batch: all ranks, all microbatches
  std::vector<Batch> microbatches;

  int64_t bytes() const {
    int64_t sum = 0;
    for (const Batch& batch : microbatches) sum += batch.bytes();
    return sum;
  }
};

}  // namespace ashlar::data
