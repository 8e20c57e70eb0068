// Sequences whose tokens are known beforehand, fed to a model runner piece by piece.
#pragma once

#include "ashlar/base/error.h"
#include "ashlar/generate/model_runner.h"

#include <cstdint>
#include <vector>

namespace ashlar::testing {

struct Feed {
  std::vector<int32_t> tokens;
  generate::BlockTable table;
  int64_t done = 0;

  int64_t left() const { return static_cast<int64_t>(tokens.size()) - done; }
  generate::SequencePiece piece(int64_t count, int64_t outputs) {
    if (!table.grow(done + count)) throw Error("the test's pool is too small");
    const generate::SequencePiece result{
        std::span(tokens).subspan(static_cast<size_t>(done), static_cast<size_t>(count)), done,
        table.blocks(), outputs};
    done += count;
    return result;
  }
};

}  // namespace ashlar::testing
