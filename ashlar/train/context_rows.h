// What a rank computes of its microbatch: all tokens, or, where context ranks share every row, its
// pieces of each (graph::ContextCut). Sequences stay those of the whole rows.
#pragma once

#include "ashlar/data/batch.h"
#include "ashlar/graph/context_rows.h"
#include "ashlar/graph/dim.h"
#include "ashlar/passes/shard.h"

#include <cstdint>
#include <vector>

namespace ashlar::train {

class ContextRows {
 public:
  ContextRows(const passes::ShardPlan& plan, int rank);

  struct View {
    const int32_t *tokens, *positions, *targets, *row_start;
    const int32_t* token_types;  // all of the first
    graph::Bindings bindings;
  };
  // Valid until the next call, and as long as the batch.
  View cut(const data::Batch& batch);
  graph::Bindings bindings(int64_t rows, int64_t seq, int64_t seqs) const;

 private:
  int parts_, index_;
  bool zigzag_;
  int tensor_parts_, tensor_index_;
  std::vector<int32_t> tokens_, positions_, targets_, types_;
};

}  // namespace ashlar::train
