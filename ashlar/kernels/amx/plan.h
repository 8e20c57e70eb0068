// How a product on AMX is cut, and the scratch memory that takes; no result depends on it.
//
// The L3 cache gives packed planes back more slowly than tiles take them. So only one operand, the
// one of fewer lines (rows of A, columns of B), is packed for all threads: the shared one, an area
// and span at a time. The lines of the other are dealt out in strips; a thread packs a block of its
// strip, multiplies it by all shared lines while it stays in its L2 cache beside the strip's sums,
// and goes on to the next block.
#pragma once

#include "ashlar/kernels/amx/planes.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

// The shared operand of an (area, span); where r takes several spans the sums of an area are kept.
inline constexpr int64_t kAmxSharedBytes = int64_t{20} << 20;
inline constexpr int64_t kAmxSharedLines = 2048, kAmxSpanLines = 1024;
// A strip: its lines, and its sums with those of the shared operand.
inline constexpr int64_t kAmxStripLines = 512;
inline constexpr int64_t kAmxSumsBytes = int64_t{1} << 20;
// A block of r of 32 shared lines stays in the L1 cache while the strip's come from L2.
inline constexpr int64_t kAmxBlockPlanes = 12;  // steps of a block, times planes
inline constexpr int64_t kAmxStripsEach = 2, kAmxFewRowsStripsEach = 4;
inline constexpr int64_t kAmxFewRows = kAmxSquare;
// Where few rows meet weights that need no packing, memory is asked for this far ahead.
inline constexpr int64_t kAmxAhead = int64_t{6} << 10;

struct AmxPlan {
  int a_planes, b_planes;
  bool few_rows;
  bool b_as_is;     // packed by pack_b
  bool shares_a;    // strips are columns of B, else rows of A
  int64_t a_rows;   // of a tile of A
  int64_t a_plane;  // bytes of a plane of a step of A
  int64_t block;    // steps
  int64_t area_m, area_n, span_r;
  int64_t strip;  // lines, at most
  int64_t shared_bytes, area_bytes;
};

// Packed bytes of a step of `lines` lines.
ASHLAR_INLINE int64_t amx_step_bytes(int64_t lines, int planes) {
  return ceil_div(lines, kAmxSquare) * planes * kAmxPair;
}
// Shared lines of an area: the operand's, cut evenly.
ASHLAR_INLINE int64_t amx_shared_lines(int64_t lines) {
  const int64_t areas = greater_of(ceil_div(lines, kAmxSharedLines), 1);
  return round_up(ceil_div(lines, areas), kAmxSquare);
}
// Lines of a strip whose sums with so many shared lines stay in the L2 cache.
ASHLAR_INLINE int64_t amx_strip_lines(int64_t shared) {
  return lesser(kAmxSumsBytes / 4 / shared / kAmxSquare * kAmxSquare, kAmxStripLines);
}

static AmxPlan plan_amx(const GemmArgs& args) {
  AmxPlan p = {};
  p.a_planes = planes_of(args.a.dtype);
  p.b_planes = planes_of(args.b_is_packed ? args.packed_dtype : args.b.dtype);
  p.a_rows = lesser(args.m, kAmxRows);
  p.a_plane = (args.m > kAmxRows ? 2 : 1) * p.a_rows * kAmxBytes;
  const int64_t steps = ceil_div(args.r, kAmxStep);
  p.block = lesser(kAmxBlockPlanes / greater_of(p.a_planes, p.b_planes), steps);
  p.few_rows = args.m <= kAmxFewRows;
  p.b_as_is = args.b_is_packed;
  p.shares_a = p.b_as_is || p.few_rows || args.m <= args.n;
  // Few rows read what is packed from end to end.
  if (p.few_rows && p.b_as_is) p.block = steps;
  const int64_t shared = amx_shared_lines(p.shares_a ? args.m : args.n);
  const int64_t step = amx_step_bytes(shared, p.shares_a ? p.a_planes : p.b_planes);
  const int64_t span = lesser(steps, greater_of(p.block, kAmxSharedBytes / step));
  const int64_t all = round_up(p.shares_a ? args.n : args.m, kAmxSquare);
  const int64_t others = span < steps ? lesser(all, kAmxSpanLines) : all;
  p.span_r = span * kAmxStep;
  p.area_m = p.shares_a ? shared : others;
  p.area_n = p.shares_a ? others : shared;
  p.strip = amx_strip_lines(shared);
  p.shared_bytes = step * span;
  p.area_bytes = span < steps ? shared * others * 4 : 0;
  return p;
}

// Strips of an operand of so many units of 32 lines, as many for each thread.
static int64_t amx_strips(const AmxPlan& plan, int64_t units, int threads) {
  const int64_t least = ceil_div(units * kAmxSquare, plan.strip);
  if (threads == 1) return least;
  const int64_t each = plan.few_rows ? kAmxFewRowsStripsEach : kAmxStripsEach;
  return lesser(round_up(greater_of(least, each * threads), threads), units);
}

// Of a thread: a block of a strip, then the strip's sums.
static int64_t amx_block_bytes(const GemmArgs& args) {
  const int64_t rows = round_up(args.m, kAmxSquare), cols = round_up(args.n, kAmxSquare);
  const int64_t lines = lesser(greater_of(rows, cols), kAmxStripLines);
  const int64_t planes = lesser(kAmxBlockPlanes, ceil_div(args.r, kAmxStep) * kAmxMostPlanes);
  return lines / kAmxSquare * planes * kAmxPair;
}
static int64_t amx_sums_bytes(const GemmArgs& args) {
  return lesser(round_up(args.m, kAmxSquare) * round_up(args.n, kAmxSquare) * 4, kAmxSumsBytes);
}

// Enough for the arguments and for any smaller m, n and r.
static int64_t amx_scratch_bound(const GemmArgs& args, int threads) {
  const DType b = args.b_is_packed ? args.packed_dtype : args.b.dtype;
  const int64_t rows = round_up(args.m, kAmxSquare), cols = round_up(args.n, kAmxSquare);
  const int64_t shared_rows = lesser(rows, kAmxSharedLines);
  const int64_t shared_cols = lesser(cols, kAmxSharedLines);
  const int64_t step = greater_of(amx_step_bytes(shared_rows, planes_of(args.a.dtype)),
                                  amx_step_bytes(shared_cols, planes_of(b)));
  const int64_t shared = step * ceil_div(args.r, kAmxStep);
  const int64_t area = greater_of(shared_rows * lesser(cols, kAmxSpanLines),
                                  lesser(rows, kAmxSpanLines) * shared_cols);
  return lesser(shared, kAmxSharedBytes) + (shared > kAmxSharedBytes ? area * 4 : 0) +
         threads * (amx_block_bytes(args) + amx_sums_bytes(args));
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
