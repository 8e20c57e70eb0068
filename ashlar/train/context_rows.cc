#include "ashlar/train/context_rows.h"

namespace ashlar::train {
namespace {

void take(const std::vector<int32_t>& all, const std::vector<graph::RowRun>& runs,
          std::vector<int32_t>& out) {
  out.clear();
  for (const graph::RowRun& run : runs) {
    out.insert(out.end(), all.begin() + run.first, all.begin() + run.first + run.count);
  }
}

}  // namespace

ContextRows::ContextRows(const passes::ShardPlan& plan, int rank)
    : parts_(plan.mesh.size("context")),
      index_(plan.mesh.coordinate(rank, "context")),
      zigzag_(plan.context == passes::ContextParallel::kZigzag),
      tensor_parts_(plan.mesh.size("tensor")),
      tensor_index_(plan.mesh.coordinate(rank, "tensor")) {}

graph::Bindings ContextRows::bindings(int64_t rows, int64_t seq, int64_t seqs) const {
  // Of one row; all are cut alike.
  const int64_t mine = parts_ == 1 ? seq : graph::context_rows({seq, zigzag_}, parts_, index_, seq);
  graph::Bindings bindings;
  bindings[graph::Symbol::kTokens] = rows * mine;
  bindings[graph::Symbol::kWhole] = rows * seq;
  bindings[graph::Symbol::kPart] = slice_of(rows * mine, tensor_parts_, tensor_index_).length;
  bindings[graph::Symbol::kSeqs] = seqs;
  return bindings;
}

ContextRows::View ContextRows::cut(const data::Batch& batch) {
  View view{batch.tokens.data(),
            batch.positions.data(),
            batch.targets.data(),
            batch.row_start.data(),
            nullptr,
            bindings(batch.rows, batch.seq, batch.sequences())};
  types_.resize(batch.tokens.size());
  view.token_types = types_.data();
  if (parts_ == 1) return view;
  const auto runs = graph::context_runs({batch.seq, zigzag_}, parts_, index_,
                                        view.bindings[graph::Symbol::kWhole]);
  take(batch.tokens, runs, tokens_);
  take(batch.positions, runs, positions_);
  take(batch.targets, runs, targets_);
  view.tokens = tokens_.data();
  view.positions = positions_.data();
  view.targets = targets_.data();
  return view;
}

}  // namespace ashlar::train
