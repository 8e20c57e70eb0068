// How a product on AMX is cut, and the scratch memory that takes; no result depends on it. As in
// gemm_plan.h: areas of C, their sums in spans of r, operands packed once an (area, span) by all
// threads, then tiles of the area dealt out. Few rows: each task packs the panels of B it needs.
#pragma once

#include "ashlar/kernels/amx/planes.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

// Packed A and B of an (area, span) together; sums of an area that takes several spans.
inline constexpr int64_t kAmxPackedBytes = int64_t{8} << 20;
inline constexpr int64_t kAmxAreaRows = 1024, kAmxAreaCols = 1024;
// A tile of C. A block of r of 32 rows of A stays in the L1 cache while those of its columns of B
// come from L2, where its sums are too.
inline constexpr int64_t kAmxTileRows = 128, kAmxTileCols = 512;
inline constexpr int64_t kAmxBlockPlanes = 12;  // steps of a block, times planes
inline constexpr int64_t kAmxTasksEach = 4;
// With so few rows B is not packed by all before.
inline constexpr int64_t kAmxFewRows = kAmxSquare;
// Each thread's: sums, a block of 32 columns of B.
inline constexpr int64_t kAmxSumsBytes = kAmxTileRows * kAmxTileCols * 4;
inline constexpr int64_t kAmxThreadBytes = kAmxSumsBytes + kAmxBlockPlanes * kAmxPair;
// Where few rows meet weights that need no packing, memory is asked for this far ahead.
inline constexpr int64_t kAmxAhead = int64_t{6} << 10;

struct AmxPlan {
  int a_planes, b_planes;
  bool few_rows;
  bool b_as_is;     // packed by pack_b
  int64_t a_rows;   // of a tile of A
  int64_t a_plane;  // bytes of a plane of a step of A
  int64_t block;    // steps
  int64_t area_m, area_n, span_r, tile_m, tile_n;
  int64_t a_bytes, b_bytes, area_bytes;
};

// Packed bytes of a step of `lines` lines.
ASHLAR_INLINE int64_t amx_step_bytes(int64_t lines, int planes) {
  return ceil_div(lines, kAmxSquare) * planes * kAmxPair;
}

static AmxPlan plan_amx(const GemmArgs& args, int threads) {
  AmxPlan p = {};
  p.a_planes = planes_of(args.a.dtype);
  p.b_planes = planes_of(args.packed_b != nullptr ? args.packed_dtype : args.b.dtype);
  p.a_rows = lesser(args.m, kAmxRows);
  p.a_plane = (args.m > kAmxRows ? 2 : 1) * p.a_rows * kAmxBytes;
  p.block = kAmxBlockPlanes / greater_of(p.a_planes, p.b_planes);
  p.few_rows = args.m <= kAmxFewRows;
  p.b_as_is = args.packed_b != nullptr;
  const bool packs_b = !p.few_rows && !p.b_as_is;
  const int64_t rows = round_up(args.m, kAmxSquare), cols = round_up(args.n, kAmxSquare);
  p.area_m = lesser(rows, kAmxAreaRows);
  p.area_n = packs_b ? lesser(cols, kAmxAreaCols) : cols;
  const int64_t step =
      amx_step_bytes(p.area_m, p.a_planes) + (packs_b ? amx_step_bytes(p.area_n, p.b_planes) : 0);
  const int64_t steps = ceil_div(args.r, kAmxStep);
  // Few rows read what is packed from end to end.
  if (p.few_rows && p.b_as_is) p.block = steps;
  const int64_t span = lesser(steps, greater_of(p.block, kAmxPackedBytes / step));
  p.span_r = span * kAmxStep;
  if (span < steps) p.area_n = lesser(p.area_n, kAmxAreaCols);  // its sums are kept
  p.tile_m = lesser(p.area_m, kAmxTileRows);
  p.tile_n = lesser(p.area_n, kAmxTileCols);
  while (p.tile_n > kAmxSquare && ceil_div(p.area_m, p.tile_m) * ceil_div(p.area_n, p.tile_n) <
                                      (threads > 1 ? kAmxTasksEach * threads : 1)) {
    p.tile_n = round_up(p.tile_n / 2, kAmxSquare);
  }
  p.a_bytes = amx_step_bytes(p.area_m, p.a_planes) * span;
  p.b_bytes = packs_b ? amx_step_bytes(p.area_n, p.b_planes) * span : 0;
  p.area_bytes = span < steps ? p.area_m * p.area_n * 4 : 0;
  return p;
}

// Enough for the arguments and for any smaller m, n and r.
static int64_t amx_scratch_bound(const GemmArgs& args, int threads) {
  const DType b = args.packed_b != nullptr ? args.packed_dtype : args.b.dtype;
  const int64_t rows = lesser(round_up(args.m, kAmxSquare), kAmxAreaRows);
  const int64_t cols = lesser(round_up(args.n, kAmxSquare), kAmxAreaCols);
  const int64_t steps = ceil_div(args.r, kAmxStep);
  const int64_t step =
      amx_step_bytes(rows, planes_of(args.a.dtype)) + amx_step_bytes(cols, planes_of(b));
  const int64_t packed = lesser(step * steps, kAmxPackedBytes);
  const bool spans = step * steps > kAmxPackedBytes;
  return packed + (spans ? rows * cols * 4 : 0) + threads * kAmxThreadBytes;
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
