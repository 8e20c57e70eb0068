#include "ashlar/train/context_rows.h"

namespace ashlar::train {
namespace {

void take(const std::vector<int32_t>& all, int64_t rows, int64_t seq,
          const std::array<Slice, 2>& pieces, std::vector<int32_t>& out) {
  out.clear();
  for (int64_t row = 0; row < rows; ++row) {
    for (const Slice& piece : pieces) {
      const auto begin = all.begin() + row * seq + piece.offset;
      out.insert(out.end(), begin, begin + piece.length);
    }
  }
}

}  // namespace

ContextRows::ContextRows(const passes::ShardPlan& plan, int rank)
    : parts_(plan.mesh.size("context")),
      index_(plan.mesh.coordinate(rank, "context")),
      zigzag_(plan.context == passes::ContextParallel::kZigzag),
      tensor_parts_(plan.mesh.size("tensor")),
      tensor_index_(plan.mesh.coordinate(rank, "tensor")) {}

std::array<Slice, 2> ContextRows::pieces(int64_t seq) const {
  if (!zigzag_ || parts_ == 1) return {slice_of(seq, parts_, index_), Slice{}};
  return {slice_of(seq, 2 * parts_, index_), slice_of(seq, 2 * parts_, 2 * parts_ - 1 - index_)};
}

graph::Bindings ContextRows::bindings(int64_t rows, int64_t seq, int64_t seqs) const {
  int64_t mine = 0;
  for (const Slice& piece : pieces(seq)) mine += piece.length;
  graph::Bindings bindings;
  bindings[graph::Symbol::kTokens] = rows * mine;
  bindings[graph::Symbol::kWhole] = rows * seq;
  bindings[graph::Symbol::kPart] = slice_of(rows * mine, tensor_parts_, tensor_index_).length;
  bindings[graph::Symbol::kSeqs] = seqs;
  return bindings;
}

ContextRows::View ContextRows::cut(const data::Batch& batch) {
  View view{batch.tokens.data(), batch.positions.data(), batch.targets.data(),
            batch.row_start.data(), bindings(batch.rows, batch.seq, batch.sequences())};
  if (parts_ == 1) return view;
  const std::array<Slice, 2> mine = pieces(batch.seq);
  take(batch.tokens, batch.rows, batch.seq, mine, tokens_);
  take(batch.positions, batch.rows, batch.seq, mine, positions_);
  take(batch.targets, batch.rows, batch.seq, mine, targets_);
  view.tokens = tokens_.data();
  view.positions = positions_.data();
  view.targets = targets_.data();
  return view;
}

}  // namespace ashlar::train
