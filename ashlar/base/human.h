// Numbers as people read and type them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ashlar {

std::string human_bytes(double bytes);      // "512 B", "1.5 GB" (powers of 1000)
std::string human_count(double count);      // "512", "12.3k", "1.5M"
std::string human_seconds(double seconds);  // "0.4s", "12s", "3m 12s", "2h 05m", "3d 04h"

// A whole number with an optional suffix: k, m, g are powers of 1000, K, M, G powers of 1024, as in
// 25.6k = 25600, 32K = 32768. nullopt for anything else, or where the result is not whole.
std::optional<int64_t> parse_count(std::string_view text);

}  // namespace ashlar
