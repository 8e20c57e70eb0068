// Which row comes when: a pure function of seed and index, in constant memory. Row `index` of the
// training run is counted from its start over all epochs, whatever the batch and the ranks.
//   no weights: an epoch is a permutation of the rows of all sources;
//   weights:    sources take turns in a fixed cycle of at most 65536 rows that keeps to the weights
//               at every prefix, and each source goes through its own epochs;
//   in order:   once through all rows, for validation.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace ashlar::data {

struct RowRef {
  int64_t source = 0;
  int64_t row = -1;   // of the source; -1: past the end, a row of padding
  int64_t epoch = 0;  // of the source, or of all sources where there are no weights
};

class RowOrder {
 public:
  // rows[s] > 0 of each source; weights: one each, positive, or none at all.
  static RowOrder shuffled(std::span<const int64_t> rows, std::span<const double> weights,
                           uint64_t seed);
  static RowOrder in_order(std::span<const int64_t> rows);

  RowRef at(int64_t index) const;
  int64_t rows() const { return base_.back(); }  // of all sources

 private:
  enum class Kind { kInOrder, kShuffled, kBlended };
  RowOrder(Kind kind, std::span<const int64_t> rows, uint64_t seed);
  void make_cycle(std::span<const double> weights);
  RowRef locate(int64_t row, int64_t epoch) const;

  Kind kind_;
  uint64_t seed_;
  std::vector<int64_t> base_;  // [sources + 1] rows before each source
  // The blend.
  std::vector<uint16_t> cycle_;    // source of each turn
  std::vector<uint16_t> earlier_;  // turns of the same source before it in the cycle
  std::vector<int64_t> turns_;     // [sources] in a cycle
};

}  // namespace ashlar::data
