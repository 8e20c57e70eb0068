// How a product with quantised weights is cut into tasks: a band of tiles of rows by some panels of
// B. No result depends on it.
#pragma once

#include "ashlar/kernels/extent.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

struct QuantBands {
  int64_t tiles, panels;
  int64_t band_tiles, bands, task_panels, columns;
};

// Bands of at most `band` tiles; about `tasks` tasks of as many panels each, a multiple of `step`,
// or more tasks where those would be more than `most` panels.
ASHLAR_INLINE QuantBands cut_bands(int64_t tiles, int64_t band, int64_t panels, int64_t most,
                                   int64_t step, int64_t tasks) {
  QuantBands p = {};
  p.tiles = tiles;
  p.panels = panels;
  p.bands = ceil_div(tiles, band);
  p.band_tiles = ceil_div(tiles, p.bands);
  p.bands = ceil_div(tiles, p.band_tiles);
  p.task_panels = lesser(most, round_up(ceil_div(p.bands * panels, tasks), step));
  p.columns = ceil_div(panels, p.task_panels);
  return p;
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
