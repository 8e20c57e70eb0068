// How a product with quantised weights is cut into tasks: a band of tiles of rows by some panels of
// B. No result depends on it.
#pragma once

#include "ashlar/kernels/extent.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

struct QuantBands {
  int64_t tiles, panels;
  int64_t band_tiles, bands, task_panels, columns;
};

// Bands of at most `band` tiles; tasks of `most` panels, or so few, from `least` on, that there are
// `tasks`.
ASHLAR_INLINE QuantBands cut_bands(int64_t tiles, int64_t band, int64_t panels, int64_t most,
                                   int64_t least, int64_t tasks) {
  QuantBands p = {};
  p.tiles = tiles;
  p.panels = panels;
  p.bands = ceil_div(tiles, band);
  p.band_tiles = ceil_div(tiles, p.bands);
  p.bands = ceil_div(tiles, p.band_tiles);
  p.task_panels = most;
  while (p.task_panels > least && p.bands * ceil_div(panels, p.task_panels) < tasks)
    p.task_panels /= 2;
  p.columns = ceil_div(panels, p.task_panels);
  return p;
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
