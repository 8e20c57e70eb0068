// What a layout's ranks must send, by the formulas of the methods' table: DP1, DP3 to DP5, TP1,
// TP2, SP2, SP3, SP5.
#pragma once

#include "tests/train/layout_batch.h"

#include <map>
#include <string>

namespace ashlar::train::testing {

// Bytes that all ranks send together in all steps, in f32, along each axis (a group's name). Sums
// over ranks are exact whatever the slices are: an all-reduce of n numbers over p ranks sends
// 2(p-1)n, a gather or a reduce-scatter half of that.
std::map<std::string, int64_t> expected_bytes(const LayoutJob& job, const Layout& layout);

}  // namespace ashlar::train::testing
