#include "tests/train/layout_batch.h"

#include "ashlar/base/philox.h"

#include <fmt/format.h>

namespace ashlar::train::testing {
namespace {

using graph::Symbol;

// Row `row` of the global batch of a step: two documents, some targets that do not count.
struct Row {
  std::vector<int32_t> tokens, positions, targets;
  std::vector<int32_t> lengths;
};

Row make_row(const LayoutJob& job, int64_t step, int64_t row) {
  const RandomStream random(job.seed, "layout");
  uint64_t draw = static_cast<uint64_t>((step * job.batch + row) * 1000);
  const auto below = [&](int64_t n) {
    return static_cast<int32_t>(random.bits(draw++) % static_cast<uint64_t>(n));
  };
  Row result;
  const int32_t first = 1 + below(job.seq - 1);
  result.lengths = {first, static_cast<int32_t>(job.seq) - first};
  for (const int32_t length : result.lengths) {
    for (int32_t i = 0; i < length; ++i) {
      result.tokens.push_back(below(job.model.vocab));
      result.positions.push_back(i);
      // The more rows, the fewer targets: ranks count differently many.
      result.targets.push_back(below(job.batch + 2) <= row ? -1 : below(job.model.vocab));
    }
  }
  return result;
}

// Which places of a row a context rank has.
std::vector<int64_t> places(const LayoutJob& job, const Layout& layout, int rank) {
  const int p = layout.mesh.context;
  std::vector<Slice> pieces;
  if (layout.context == passes::ContextParallel::kZigzag) {
    pieces = {slice_of(job.seq, 2 * p, rank), slice_of(job.seq, 2 * p, 2 * p - 1 - rank)};
  } else {
    pieces = {slice_of(job.seq, p, rank)};
  }
  std::vector<int64_t> result;
  for (const Slice& piece : pieces) {
    for (int64_t i = piece.offset; i < piece.end(); ++i) result.push_back(i);
  }
  return result;
}

}  // namespace

std::string Layout::str() const {
  return fmt::format("{} zero={} sequence={} recompute={}", Mesh::standard(mesh).str(), zero,
                     sequence, static_cast<int>(recompute));
}

int64_t valid_tokens(const LayoutJob& job, int64_t step) {
  int64_t valid = 0;
  for (int64_t row = 0; row < job.batch; ++row) {
    for (const int32_t target : make_row(job, step, row).targets) valid += target >= 0 ? 1 : 0;
  }
  return valid;
}

LayoutInputs make_inputs(const LayoutJob& job, const Layout& layout, int rank, int64_t step,
                         int64_t microbatch) {
  const Mesh mesh = Mesh::standard(layout.mesh);
  const int64_t dealt = layout.data_ranks();
  const int64_t index =
      mesh.coordinate(rank, "data") * layout.mesh.expert + mesh.coordinate(rank, "expert");
  const int64_t rank_rows = job.batch / dealt, rows = rank_rows / job.microbatches;
  const int64_t first_row = index * rank_rows + microbatch * rows;
  LayoutInputs inputs;
  inputs.row_start = {0};
  for (int64_t row = first_row; row < first_row + rows; ++row) {
    const Row made = make_row(job, step, row);
    for (const int64_t i : places(job, layout, mesh.coordinate(rank, "context"))) {
      const auto at = static_cast<size_t>(i);
      inputs.tokens.push_back(made.tokens[at]);
      inputs.positions.push_back(made.positions[at]);
      inputs.targets.push_back(made.targets[at]);
      if (job.model.token_types > 0) {
        inputs.token_types.push_back(made.tokens[at] % static_cast<int32_t>(job.model.token_types));
      }
    }
    for (const int32_t length : made.lengths) {
      inputs.row_start.push_back(inputs.row_start.back() + length);
    }
  }
  const auto tokens = static_cast<int64_t>(inputs.tokens.size());
  inputs.whole_tokens = rows * job.seq;
  inputs.bindings[Symbol::kTokens] = tokens;
  inputs.bindings[Symbol::kWhole] = inputs.whole_tokens;
  inputs.bindings[Symbol::kPart] =
      slice_of(tokens, layout.mesh.tensor, mesh.coordinate(rank, "tensor")).length;
  inputs.bindings[Symbol::kSeqs] = static_cast<int64_t>(inputs.row_start.size()) - 1;
  inputs.aux_scale = 1.0f / static_cast<float>(job.microbatches);
  inputs.first_token = static_cast<uint64_t>(first_row * job.seq);
  return inputs;
}

StepSpec spec_of(const LayoutJob& job, const Layout& layout, int rank) {
  const int64_t rows = job.batch / (layout.data_ranks() * job.microbatches);
  StepSpec spec;
  spec.model = job.model;
  spec.update = job.update;
  spec.dtype = layout.dtype;
  spec.grad_dtype = layout.grad_dtype;
  spec.recompute = layout.recompute;
  spec.max_tokens = rows * job.seq;
  spec.max_seqs = rows * 2;
  spec.shard.mesh = Mesh::standard(layout.mesh);
  spec.shard.zero = layout.zero;
  spec.shard.sequence = layout.sequence;
  spec.shard.context = layout.context;
  spec.shard.seq = job.seq;
  spec.rank = rank;
  spec.bucket_bytes = layout.bucket_bytes;
  return spec;
}

}  // namespace ashlar::train::testing
