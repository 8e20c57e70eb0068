// Zero-bubble pipelines drop the wait for the global norm before the update: a rank goes by what
// has come down the pipe, and looks back later.
#include "ashlar/base/error.h"
#include "ashlar/graph/ops/optimizer.h"
#include "ashlar/runtime/pipeline.h"
#include "ashlar/runtime/stored_variables.h"

#include <cmath>
#include <string>

namespace ashlar::runtime {
namespace {

constexpr int kSquaresTag = comm::Communicator::kTags - 1;
constexpr const char* kLabel = "gradient norm down the pipe";

}  // namespace

// Ranks before this one and itself, added in their order. Only they can have been waited for.
double Pipeline::squares_up_to_here() {
  double squares = 0;
  if (rank() > 0) {
    comm_.recv(pipe_, rank() - 1, kSquaresTag, comm::buffer(std::span(&squares, 1)), kLabel);
  }
  for (const Chunk& chunk : chunks_) {
    if (chunk.has_squares) squares += squares_of(chunk);
  }
  passed_on_ = squares;
  if (rank() + 1 < pipe_.size()) {
    passing_ = comm_.start_send(pipe_, rank() + 1, kSquaresTag,
                                comm::buffer(std::span<const double>(&passed_on_, 1)), kLabel);
  }
  return squares;
}

// Gradients of a scaled loss are clipped by their true norm.
double Pipeline::scale(double squares) const {
  const auto bound = shared_inputs_.find("gradient_scale");
  const double loss_scale = bound == shared_inputs_.end()
                                ? 1
                                : static_cast<double>(*static_cast<const float*>(bound->second));
  return graph::clip_scale(std::sqrt(squares) / loss_scale, chunks_[0].parts.stage->max_norm);
}

void Pipeline::step_optimistically(std::span<const PipelineMicrobatch> microbatches,
                                   const graph::RunState& state) {
  if (kept_.bytes() == 0) prepare_to_roll_back();
  run_list(microbatches, state);
  find_squares();
  const double squares = squares_up_to_here();
  start_totals();
  unsettled_ = true;
  // What is wrong here is wrong for all: then there is nothing to take back.
  assumed_.reset();
  if (!std::isfinite(squares)) return;
  kept_.keep();
  assumed_ = squares;
  update_by(squares);
}

PipelineTotals Pipeline::settle() {
  ASHLAR_CHECK(unsettled_, "pipeline: there is no optimistic step to settle");
  const PipelineTotals totals = finish_totals();
  passing_.wait();
  unsettled_ = false;
  const bool finite = std::isfinite(totals.squares);
  if (assumed_ && finite && scale(*assumed_) == scale(totals.squares)) return totals;
  if (assumed_) {
    kept_.bring_back();
    ++rollbacks_;
  }
  if (finite) update_by(totals.squares);
  return totals;
}

void Pipeline::prepare_to_roll_back() {
  for (const Chunk& chunk : chunks_) {
    const graph::Graph& graph = chunk.parts.stage->graph;
    for (const graph::VariableId id : updated_variables(graph)) {
      kept_.add(chunk.parts.runner->variable(graph.variable(id).name));
    }
  }
}

}  // namespace ashlar::runtime
