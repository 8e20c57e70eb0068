// The known schedules. Each generator writes compute instructions only; communication.h adds the
// messages, update.h the end of the step. p = ranks, m = microbatches, F, B, W = their times.
#pragma once

#include "ashlar/schedule/schedule.h"

#include <span>
#include <string>
#include <string_view>

namespace ashlar::schedule {

// All forwards, then all backwards (Huang et al. 2019). Bubble (p-1)/(m+p-1), m in flight.
Schedule gpipe(int ranks, int microbatches);

// One forward, one backward (DAPPLE, Fan et al. 2021). The same bubble; rank i has min(p-i, m) in
// flight.
Schedule one_f_one_b(int ranks, int microbatches);

// 1F1B over `chunks` rounds of the ranks (Narayanan et al. 2021). Bubble over ideal time
// (p-1)/(chunks m); m must be a multiple of p.
Schedule interleaved(int ranks, int microbatches, int chunks);

// Backward split into B and W, W delayed into the bubbles (Qi et al. 2024). H1 keeps 1F1B's memory
// and idles (p-1)(F+B-W); H2 takes 2p-1 microbatches and idles (p-1)(F+B-2W), from m = 2p-1 on.
Schedule zb_h1(int ranks, int microbatches);
Schedule zb_h2(int ranks, int microbatches);

// Two chunks a rank, placed in a V (Qi et al. 2024, "controllable memory"). With F = B = W: no idle
// time from m = 2p-1 on, at 1F1B's memory; half its bubble at half its memory (and a little); two
// thirds of its bubble at a third.
Schedule zb_v(int ranks, int microbatches);
Schedule v_half(int ranks, int microbatches);
Schedule v_min(int ranks, int microbatches);

// Two pipelines in opposite directions, half the microbatches each (Li & Hoefler 2021). Weights
// exist twice. Ranks and microbatches must be even.
Schedule chimera(int ranks, int microbatches);

// 2 `waves` chunks a rank, placed in zigzag (Liu et al. 2023): the bubble of Chimera and less,
// without a second copy of the weights.
Schedule hanayo(int ranks, int microbatches, int waves);

// For errors: the multiples next to a count that is none, "4" or "4 or 8".
std::string multiples_near(int count, int of);

struct Shape {
  int ranks = 1, microbatches = 1;
  int chunks = 2;  // interleaved
  int waves = 1;   // hanayo
};

std::span<const std::string> generator_names();
// By name; an unknown one is an Error that suggests the nearest.
Schedule generate(std::string_view name, const Shape& shape);

}  // namespace ashlar::schedule
