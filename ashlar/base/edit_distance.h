// How far apart two words are, to name the nearest where a name is unknown.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace ashlar {

// Insertions, deletions, replacements and swaps of neighbours that lead from one word to the other.
int edit_distance(std::string_view a, std::string_view b);

// The candidate nearest to word; nullopt where none resembles it (more than a third differs).
std::optional<std::string> nearest(std::string_view word, std::span<const std::string> candidates);

}  // namespace ashlar
