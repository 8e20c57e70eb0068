#include "ashlar/base/human.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace ashlar {
namespace {

// value with three digits and the prefix of a power of 1000: "1.50" -> "1.5", "12.3", "123".
std::string scaled(double value, const std::array<const char*, 6>& units, const char* space) {
  if (!std::isfinite(value)) return fmt::format("{}{}{}", value, space, units[0]);
  double size = std::abs(value);
  size_t unit = 0;
  // 999.5 would print as 1000.
  for (; size >= 999.5 && unit + 1 < units.size(); ++unit) size /= 1000;
  const bool whole = size == std::floor(size) && unit == 0;
  const int decimals = whole || size >= 99.95 ? 0 : 1;
  return fmt::format("{}{:.{}f}{}{}", value < 0 ? "-" : "", size, decimals,
                     *units[unit] == '\0' ? "" : space, units[unit]);
}

}  // namespace

std::string human_bytes(double bytes) {
  return scaled(bytes, {"B", "kB", "MB", "GB", "TB", "PB"}, " ");
}

std::string human_count(double count) { return scaled(count, {"", "k", "M", "G", "T", "P"}, ""); }

std::string human_seconds(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "?";
  if (seconds < 9.95) return fmt::format("{:.1f}s", seconds);
  // Beyond this a count of days means nothing, and must not overflow.
  const auto total = static_cast<int64_t>(std::round(std::min(seconds, 1e14)));
  const int64_t minutes = total / 60, hours = minutes / 60, days = hours / 24;
  if (minutes == 0) return fmt::format("{}s", total);
  if (hours == 0) return fmt::format("{}m {:02}s", minutes, total % 60);
  if (days == 0) return fmt::format("{}h {:02}m", hours, minutes % 60);
  return fmt::format("{}d {:02}h", days, hours % 24);
}

std::optional<int64_t> parse_count(std::string_view text) {
  int64_t unit = 1;
  const bool has_suffix = !text.empty() && (text.back() < '0' || text.back() > '9');
  if (has_suffix) {
    switch (text.back()) {
      case 'k':
        unit = 1000;
        break;
      case 'm':
        unit = 1000 * 1000;
        break;
      case 'g':
        unit = 1000 * 1000 * 1000;
        break;
      case 'K':
        unit = int64_t{1} << 10;
        break;
      case 'M':
        unit = int64_t{1} << 20;
        break;
      case 'G':
        unit = int64_t{1} << 30;
        break;
      default:
        return std::nullopt;
    }
    text.remove_suffix(1);
  }
  const char* const end = text.data() + text.size();
  int64_t whole = 0;
  const auto as_integer = std::from_chars(text.data(), end, whole);
  if (as_integer.ec == std::errc() && as_integer.ptr == end) {
    int64_t result = 0;
    if (__builtin_mul_overflow(whole, unit, &result)) return std::nullopt;
    return result;
  }
  double number = 0;
  const auto as_double = std::from_chars(text.data(), end, number);
  if (as_double.ec != std::errc() || as_double.ptr != end) return std::nullopt;
  // 25.6 * 1000 is not whole in binary; what was typed is, to the nearest 1e-6.
  const double product = number * static_cast<double>(unit);
  const double rounded = std::round(product);
  if (!(std::abs(rounded) < 0x1p53) || std::abs(product - rounded) > 1e-6) return std::nullopt;
  return static_cast<int64_t>(rounded);
}

}  // namespace ashlar
