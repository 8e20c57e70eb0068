// What becomes of the matches of a pattern when a piece is split around them: the five behaviours
// of Hugging Face's Split.
#pragma once

#include "ashlar/text/json_view.h"
#include "ashlar/text/regex.h"

#include <vector>

namespace ashlar::text {

enum class Delimiters { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

// "Removed", "Isolated", ...
Delimiters delimiters_from_json(JsonView json);

// The parts of a piece of `size` bytes around the matches (rising, without overlap, not empty).
// invert: what lies between the matches counts as matched instead.
std::vector<Span> split_around(size_t size, const std::vector<Span>& matches, Delimiters delimiters,
                               bool invert);

}  // namespace ashlar::text
