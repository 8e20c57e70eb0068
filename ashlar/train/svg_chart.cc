#include "ashlar/train/svg_chart.h"

#include "ashlar/base/human.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace ashlar::train {
namespace {

constexpr double kWidth = 640, kHeight = 260;
constexpr double kLeft = 64, kRight = 16, kTop = 34, kBottom = 30;
constexpr size_t kMaxPoints = 560;
constexpr const char* kColors[] = {"#2563eb", "#dc6803", "#0d9488"};

using Points = std::vector<std::pair<double, double>>;

Points thinned(const Points& points) {
  if (points.size() <= kMaxPoints) return points;
  Points result;
  for (size_t i = 0; i < kMaxPoints; ++i) {
    const size_t begin = i * points.size() / kMaxPoints;
    const size_t end = (i + 1) * points.size() / kMaxPoints;
    double x = 0, y = 0;
    for (size_t j = begin; j < end; ++j) {
      x += points[j].first;
      y += points[j].second;
    }
    const auto count = static_cast<double>(end - begin);
    result.emplace_back(x / count, y / count);
  }
  return result;
}

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  void take(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  void widen() {
    if (high > low) return;
    const double half = std::max(std::abs(low) * 0.05, 1e-12);
    low -= half;
    high += half;
  }
  double share(double value) const { return (value - low) / (high - low); }
};

// 1, 2 or 5 times a power of ten, so that there are about five of them.
double step_of(const Range& range) {
  const double rough = (range.high - range.low) / 5;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= rough) return factor * power;
  }
  return 10 * power;
}

// The multiples of that step in the range, its ends included where rounding would miss them.
std::vector<double> ticks(const Range& range) {
  const double step = step_of(range);
  const double first = std::ceil(range.low / step - 1e-9);
  const double last = std::floor(range.high / step + 1e-9);
  std::vector<double> values;
  for (double i = first; i <= last; ++i) values.push_back(i * step + 0.0);  // no "-0"
  return values;
}

// With the digits that tell a tick from its neighbours.
std::string tick_text(double value, double step) {
  const double steps = std::max(std::abs(value) / step, 1.0);
  const int digits = 1 + static_cast<int>(std::ceil(std::log10(steps)));
  if (std::abs(value) >= 1e4 && digits <= 3) return human_count(value);
  return fmt::format("{:.{}g}", value, std::max(digits, 4));
}

}  // namespace

std::string html_escape(const std::string& text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

std::string svg_chart(const std::string& title, const std::vector<Curve>& curves) {
  Range xs, ys;
  for (const Curve& curve : curves) {
    for (const auto& [x, y] : curve.points) {
      xs.take(x);
      ys.take(y);
    }
  }
  if (!std::isfinite(xs.low)) return {};
  xs.widen();
  ys.widen();
  const auto place_x = [&](double x) { return kLeft + xs.share(x) * (kWidth - kLeft - kRight); };
  const auto place_y = [&](double y) {
    return kHeight - kBottom - ys.share(y) * (kHeight - kTop - kBottom);
  };
  std::string svg = fmt::format(
      "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">\n"
      "<text x=\"{}\" y=\"18\" class=\"title\">{}</text>\n",
      kWidth, kHeight, html_escape(title), kLeft, html_escape(title));
  for (const double y : ticks(ys)) {
    svg += fmt::format(
        "<line x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\" class=\"grid\"/>"
        "<text x=\"{}\" y=\"{:.1f}\" class=\"tick\" text-anchor=\"end\">{}</text>\n",
        kLeft, kWidth - kRight, place_y(y), place_y(y), kLeft - 6, place_y(y) + 4,
        tick_text(y, step_of(ys)));
  }
  for (const double x : ticks(xs)) {
    svg +=
        fmt::format("<text x=\"{:.1f}\" y=\"{}\" class=\"tick\" text-anchor=\"middle\">{}</text>\n",
                    place_x(x), kHeight - 10, tick_text(x, step_of(xs)));
  }
  double legend = kWidth - kRight;
  for (size_t i = 0; i < curves.size(); ++i) {
    const char* color = kColors[i % std::size(kColors)];
    svg +=
        fmt::format("<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"1.6\" points=\"", color);
    for (const auto& [x, y] : thinned(curves[i].points)) {
      svg += fmt::format("{:.1f},{:.1f} ", place_x(x), place_y(y));
    }
    svg += "\"/>\n";
    if (curves.size() == 1) continue;
    svg += fmt::format("<text x=\"{}\" y=\"18\" style=\"fill: {}\" text-anchor=\"end\">{}</text>\n",
                       legend, color, html_escape(curves[i].name));
    legend -= 12 + 7 * static_cast<double>(curves[i].name.size());
  }
  return svg + "</svg>\n";
}

std::string svg_file(const std::string& chart) {
  if (chart.empty()) return {};
  constexpr std::string_view kOpen = "<svg ";
  const std::string head = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" color=\"#222222\" ",
      kWidth, kHeight);
  const size_t body = chart.find('\n') + 1;
  return head + chart.substr(kOpen.size(), body - kOpen.size()) +
         "<style>text { fill: currentColor; font: 11px sans-serif; } "
         ".title { font-weight: 600; font-size: 13px; } .grid { stroke: #8883; }</style>\n"
         "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n" +
         chart.substr(body);
}

}  // namespace ashlar::train
