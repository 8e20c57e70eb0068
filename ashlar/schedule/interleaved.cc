#include "ashlar/base/error.h"
#include "ashlar/schedule/generators.h"

#include <algorithm>

namespace ashlar::schedule {

// Microbatches go in groups of p through all chunks: p of them through chunk 0, the same p through
// chunk 1, ...; backwards the same way from the last chunk to the first.
Schedule interleaved(int ranks, int microbatches, int chunks) {
  ASHLAR_CHECK(chunks > 1, "schedule interleaved: {} chunks a rank, at least 2 are needed", chunks);
  ASHLAR_CHECK(microbatches % ranks == 0,
               "schedule interleaved: {} microbatches are no multiple of {} ranks; {} are",
               microbatches, ranks, multiples_near(microbatches, ranks));
  Schedule schedule = empty_schedule("interleaved", StageMap::looped(ranks, chunks), microbatches);
  const int total = microbatches * chunks, group = ranks * chunks;
  const auto microbatch = [&](int n) { return n / group * ranks + n % ranks; };
  const auto chunk = [&](int n) { return n % group / ranks; };
  for (int rank = 0; rank < ranks; ++rank) {
    InstructionList& list = schedule.ranks[static_cast<size_t>(rank)];
    const int ahead = std::min(2 * (ranks - rank - 1) + (chunks - 1) * ranks + 1, total);
    int next = 0;  // forward
    const auto add_forward = [&] {
      list.push_back(forward(microbatch(next), chunk(next)));
      ++next;
    };
    while (next < ahead) add_forward();
    for (int n = 0; n < total; ++n) {
      list.push_back(backward(microbatch(n), chunks - 1 - chunk(n)));
      if (next < total) add_forward();
    }
  }
  return schedule;
}

}  // namespace ashlar::schedule
