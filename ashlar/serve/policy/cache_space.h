// What a scheduler asks of the key-value cache: room for sequences, in blocks. The engine answers
// with its block pool, the simulator with plain counts.
#pragma once

#include <cstdint>

namespace ashlar::serve {

using SequenceId = uint64_t;

class CacheSpace {
 public:
  virtual ~CacheSpace() = default;

  virtual int64_t capacity() const = 0;  // tokens of a sequence that has the cache to itself
  virtual int64_t free_blocks() const = 0;

  // Gives a sequence that holds nothing what others have computed of its first `at_most` tokens;
  // returns how many tokens that is.
  virtual int64_t reuse(SequenceId id, int64_t at_most) = 0;
  // Makes room for the sequence's first `tokens` tokens. False: there is none, nothing changed.
  virtual bool grow(SequenceId id, int64_t tokens) = 0;
  // Takes all it holds from the sequence.
  virtual void release(SequenceId id) = 0;
};

}  // namespace ashlar::serve
