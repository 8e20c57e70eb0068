#include "ashlar/schedule/generators.h"

#include <algorithm>
#include <array>

namespace ashlar::schedule {
namespace {

// Writes the next microbatch of a kind and chunk; past the last one, nothing.
class Writer {
 public:
  Writer(InstructionList& list, int microbatches) : list_(list), microbatches_(microbatches) {}

  void forward(int chunk) { add(Kind::kForward, chunk); }
  void input_grad(int chunk) { add(Kind::kInputGrad, chunk); }
  void weight_grad(int chunk) { add(Kind::kWeightGrad, chunk); }
  void backward(int chunk) {
    input_grad(chunk);
    weight_grad(chunk);
  }
  bool forwards_left() const { return next_[0][1] < microbatches_; }

 private:
  void add(Kind kind, int chunk) {
    int& next = next_[static_cast<size_t>(kind)][static_cast<size_t>(chunk)];
    if (next < microbatches_) list_.push_back({kind, next++, chunk});
  }

  InstructionList& list_;
  int microbatches_;
  std::array<std::array<int, 2>, 3> next_{};  // [F, B, W][chunk]
};

}  // namespace

// Chunk 0 goes down the ranks, chunk 1 comes back up. While a rank waits for its first microbatch
// to return, it runs what room for 2p halves lets it; then F B W of both chunks in turn.
Schedule zb_v(int ranks, int microbatches) {
  Schedule schedule = empty_schedule("zb-v", StageMap::waves(ranks, 1), microbatches);
  for (int rank = 0; rank < ranks; ++rank) {
    Writer next(schedule.ranks[static_cast<size_t>(rank)], microbatches);
    for (int k = 0; k < 2 * (ranks - rank) - 1; ++k) next.forward(0);
    for (int k = 0; k < rank; ++k) {
      next.forward(1);
      next.forward(0);
    }
    for (int k = 0; k < ranks - rank; ++k) {
      next.forward(1);
      next.backward(1);
    }
    while (next.forwards_left()) {
      next.forward(0);
      next.backward(0);
      next.forward(1);
      next.backward(1);
    }
    for (int k = 0; k < rank; ++k) {  // W waits: the ranks above need these B
      next.input_grad(0);
      next.input_grad(1);
    }
    for (int k = 0; k < ranks - rank; ++k) next.backward(0);
    for (int k = 0; k < microbatches; ++k) next.weight_grad(1);
    for (int k = 0; k < microbatches; ++k) next.weight_grad(0);
  }
  return schedule;
}

}  // namespace ashlar::schedule
