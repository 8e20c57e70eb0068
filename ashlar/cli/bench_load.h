// What the benches of inference run: sequences of made-up tokens, all of one length, that move
// through a model together.
#pragma once

#include "ashlar/cli/text_model.h"

#include <cstdint>
#include <deque>
#include <span>
#include <vector>

namespace ashlar::cli {

class BenchLoad {
 public:
  static constexpr int64_t kChunk = 512;  // tokens of one prefill step

  // Throws Error when the model's cache has no room for them.
  BenchLoad(TextModel& model, int64_t batch, int64_t length);

  // Each sequence from its start, one after the other, in chunks; the logits of the last token.
  void prefill(int64_t length);
  // Of the first sequence alone, in one step.
  void prefill_first(int64_t length);
  // One token of every sequence.
  void decode(int64_t position);

 private:
  generate::SequencePiece part(size_t i, int64_t position, int64_t count, int64_t outputs) const;

  generate::ModelRunner& runner_;
  generate::KvPool pool_;
  std::vector<std::vector<int32_t>> tokens_;
  std::deque<generate::BlockTable> tables_;
  std::vector<generate::SequencePiece> pieces_;
};

}  // namespace ashlar::cli
