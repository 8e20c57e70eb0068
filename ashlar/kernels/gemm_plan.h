// How gemm cuts a product so that what it reads again stays in the caches, and the scratch memory
// that takes. A function of the arguments and the thread count alone; no result depends on it.
//
// C is computed in areas of area_m x area_n, their sums in spans of span_r. For each (area, span)
// A and B are packed once by all threads, then tiles of tile_m x tile_n of the area are dealt out.
// Where C has few rows little of B is used twice: then (kOnTheFly) each task packs the panels it
// needs itself, block by block, and B is read once. Sums wait
//   in C itself             where C is f32 and nothing is applied to the sums afterwards,
//   in the area's buffer    where an area takes several spans,
//   in the task's buffer    elsewhere.
#pragma once

#include "ashlar/kernels/args.h"
#include "ashlar/kernels/extent.h"
#include "ashlar/kernels/gemm_tile.h"
#include "ashlar/kernels/pack.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

enum class PackB : uint8_t { kBefore, kShared, kOnTheFly };  // by pack_b, by all threads, by tasks

struct GemmPlan {
  Inner inner;
  Unit a_unit, b_unit;
  PackB pack_b;
  bool a_is_packed;  // one contiguous row is its own panel
  bool sums_in_c;
  int64_t area_m, area_n, span_r;
  int64_t tile_m, tile_n;
  int64_t a_panel, b_panel;  // floats from a packed panel to the next
  int64_t a_bytes, b_bytes, area_bytes;
};

// Packed A and B of an (area, span) stay within kPackedBytes. An area that takes several spans is
// at most kSpannedRows x kSpannedCols. 1024 rows are one area in every tier: two would pack B
// twice.
inline constexpr int64_t kUnitBytes = 4;
inline constexpr int64_t kPackedBytes = int64_t{8} << 20;
inline constexpr int64_t kMaxAreaRows = 2016;
inline constexpr int64_t kMaxAreaCols = 4096;
inline constexpr int64_t kSpannedRows = 1092;
inline constexpr int64_t kSpannedCols = 1024;
static_assert(kMaxAreaRows % kTileRows == 0 && kSpannedRows % kTileRows == 0);
// A tile's A and B blocks (and its sums) share the L2 cache of a core.
inline constexpr int64_t kMaxTileRows = kTileRows > 8 ? 112 : 96;
inline constexpr int64_t kMaxTileCols = 256;
// Below this a tile's start-up costs show.
inline constexpr int64_t kMinTileRows = 4 * kTileRows;
inline constexpr int64_t kTasksPerThread = 6;
// With more rows than this, packing B beforehand costs less than what it saves.
inline constexpr int64_t kMaxRowsOnTheFly = 2 * kTileRows;
// Panels of B that a task packs at a time: memory is read in longer runs.
inline constexpr int64_t kPanelsOnTheFly = 4;
// Packing tasks. r contiguous: a few panels over the whole span, in streams that the processor's
// prefetcher can follow. Lines side by side: long runs of some rows.
inline constexpr int64_t kPanelsAlongR = 2;
inline constexpr int64_t kLinesSideBySide = 512;
inline constexpr int64_t kRowsSideBySide = 64;
// Each thread's: sums of a tile, panels of B packed on the fly.
inline constexpr int64_t kSumsBytes = kMaxTileRows * kMaxTileCols * kUnitBytes;
inline constexpr int64_t kPanelBytes = kPanelsOnTheFly * kGemmBlock * kTileCols * kUnitBytes;
inline constexpr int64_t kThreadBytes = kSumsBytes + kPanelBytes;
static_assert(kMaxTileRows % kTileRows == 0 && kMaxTileCols % kTileCols == 0);

// Panels are an odd number of cache lines apart, so that many of them can be written side by side
// without meeting in the same sets of the cache.
inline constexpr int64_t kMostPadding = 2 * kLineFloats;
ASHLAR_INLINE int64_t panel_stride(int64_t width, int64_t units) {
  return (ceil_div(width * units, kLineFloats) | 1) * kLineFloats;
}

// extent cut into the fewest equal parts of at most `most`, in multiples of `unit`.
ASHLAR_INLINE int64_t equal_part(int64_t extent, int64_t most, int64_t unit) {
  const int64_t parts = greater_of(1, ceil_div(extent, greater_of(most, unit)));
  return greater_of(unit, round_up(ceil_div(extent, parts), unit));
}

// Whether areas of a fair size hold the whole of r within kPackedBytes: then one span does. True
// for smaller m, n and r where it is true for larger ones.
ASHLAR_INLINE bool fits_one_span(const GemmArgs& args, int64_t a_units, int64_t b_units) {
  const int64_t rows = round_up(lesser(args.m, 512), kTileRows);
  const int64_t cols = round_up(lesser(args.n, 512), kTileCols);
  return (rows * a_units + cols * b_units) * kUnitBytes <= kPackedBytes;
}

static void choose_kernels(GemmPlan& plan, const GemmArgs& args) {
  const DType b_dtype = args.b_is_packed ? args.packed_dtype : args.b.dtype;
  const bool dot = kHasDot && args.a.dtype == DType::kBF16 && b_dtype == DType::kBF16;
  const bool b_pairs = b_dtype == DType::kBF16 && (dot || args.b_is_packed);
  const bool b_halves = b_dtype == DType::kF16 && args.b_is_packed;
  plan.inner = dot ? Inner::kDot : b_pairs ? Inner::kWiden : b_halves ? Inner::kHalf : Inner::kF32;
  plan.a_unit = dot ? Unit::kPair : Unit::kF32;
  plan.b_unit = b_pairs ? Unit::kPair : b_halves ? Unit::kHalves : Unit::kF32;
  plan.a_is_packed = args.m == 1 && args.a.col_stride == 1 &&
                     (dot ? args.r % 2 == 0 : args.a.dtype == DType::kF32);
  plan.pack_b = args.b_is_packed             ? PackB::kBefore
                : args.m <= kMaxRowsOnTheFly ? PackB::kOnTheFly
                                             : PackB::kShared;
}

static void choose_areas(GemmPlan& plan, const GemmArgs& args) {
  const bool b_is_shared = plan.pack_b == PackB::kShared;
  const int64_t a_units = units_of(plan.a_unit, args.r);
  const int64_t b_units = b_is_shared ? units_of(plan.b_unit, args.r) : 0;
  const int64_t rows = round_up(args.m, kTileRows), cols = round_up(args.n, kTileCols);
  plan.span_r = round_up(args.r, kGemmBlock);
  if (!fits_one_span(args, a_units, b_units)) {
    const int64_t m = lesser(rows, kSpannedRows), n = lesser(cols, kSpannedCols);
    const int64_t per_r = (m + (b_is_shared ? n : 0)) * kUnitBytes;
    plan.span_r = greater_of(kGemmBlock, kPackedBytes / per_r / kGemmBlock * kGemmBlock);
    plan.area_m = equal_part(args.m, m, kTileRows);
    plan.area_n = equal_part(args.n, n, kTileCols);
    return;
  }
  const int64_t units = greater_of(a_units, 1);              // b_units is 0 or the same
  const int64_t budget = kPackedBytes / kUnitBytes / units;  // rows and columns together
  if (!b_is_shared) {
    plan.area_m =
        equal_part(args.m, lesser(budget / kTileRows * kTileRows, kMaxAreaRows), kTileRows);
    plan.area_n = cols;
    return;
  }
  // As wide as the rows leave room for: A is packed again for each area of columns.
  const int64_t m = lesser(rows, greater_of(512, lesser(budget / 2, kMaxAreaRows)));
  const int64_t n = lesser(cols, lesser(budget - round_up(m, kTileRows), kMaxAreaCols));
  plan.area_n = equal_part(args.n, n / kTileCols * kTileCols, kTileCols);
  plan.area_m = equal_part(
      args.m, lesser((budget - plan.area_n) / kTileRows * kTileRows, kMaxAreaRows), kTileRows);
}

// Tiles as large as the caches like, but enough of them for every thread.
static void choose_tiles(GemmPlan& plan, int threads) {
  plan.tile_m = equal_part(plan.area_m, kMaxTileRows, kTileRows);
  plan.tile_n = equal_part(plan.area_n, kMaxTileCols, kTileCols);
  const int64_t wanted = threads > 1 ? kTasksPerThread * threads : 1;
  while (ceil_div(plan.area_m, plan.tile_m) * ceil_div(plan.area_n, plan.tile_n) < wanted) {
    const bool narrow = plan.pack_b == PackB::kOnTheFly || plan.tile_m <= kMinTileRows;
    if (plan.tile_n > (narrow ? 1 : 2) * kTileCols) {
      plan.tile_n = equal_part(plan.tile_n, plan.tile_n / 2, kTileCols);
    } else if (!narrow) {
      plan.tile_m = equal_part(plan.tile_m, plan.tile_m / 2, kTileRows);
    } else {
      break;
    }
  }
}

static GemmPlan plan_gemm(const GemmArgs& args, int threads) {
  GemmPlan plan = {};
  choose_kernels(plan, args);
  choose_areas(plan, args);
  choose_tiles(plan, threads);
  plan.sums_in_c = args.c_dtype == DType::kF32 && !args.accumulate && args.bias == nullptr &&
                   args.activation == Activation::kNone && args.residual == nullptr;
  const int64_t span = lesser(args.r, plan.span_r);
  const int64_t rows = lesser(plan.area_m, args.m);
  plan.a_panel = panel_stride(kTileRows, units_of(plan.a_unit, span));
  plan.b_panel = panel_stride(kTileCols, units_of(plan.b_unit, span));
  if (!plan.a_is_packed) plan.a_bytes = ceil_div(rows, kTileRows) * plan.a_panel * kUnitBytes;
  if (plan.pack_b == PackB::kShared) {
    plan.b_bytes = plan.area_n / kTileCols * plan.b_panel * kUnitBytes;
  }
  if (plan.span_r < args.r && !(plan.sums_in_c && args.n % kTileCols == 0)) {
    plan.area_bytes = plan.area_m * plan.area_n * kUnitBytes;
  }
  return plan;
}

// Enough for the arguments, for any smaller m, n and r, and whatever is applied to the sums: a
// Program plans memory once, for its largest batch.
static int64_t scratch_bound(const GemmArgs& args, int threads) {
  GemmPlan plan = {};
  choose_kernels(plan, args);
  const int64_t a_units = units_of(plan.a_unit, args.r);
  const int64_t b_units = args.b_is_packed ? 0 : units_of(plan.b_unit, args.r);
  const int64_t rows = round_up(args.m, kTileRows), cols = round_up(args.n, kTileCols);
  const int64_t panels =
      lesser(rows, kMaxAreaRows) / kTileRows + lesser(cols, kMaxAreaCols) / kTileCols;
  int64_t bytes = lesser((rows * a_units + cols * b_units) * kUnitBytes, kPackedBytes) +
                  panels * kMostPadding * kUnitBytes;
  if (!fits_one_span(args, a_units, b_units)) {
    bytes += lesser(rows, kSpannedRows) * lesser(cols, kSpannedCols) * kUnitBytes;
  }
  return bytes + threads * kThreadBytes;
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
