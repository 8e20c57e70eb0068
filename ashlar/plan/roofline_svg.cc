#include "ashlar/plan/roofline.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace ashlar::plan {
namespace {

constexpr double kMargin = 16, kLeft = 190, kBars = 520, kRow = 22, kBar = 14, kTitle = 44;
constexpr const char* kTime = "#c9daf0";
constexpr const char* kLimit = "#4a86c8";
constexpr double kLeastShown = 0.005;  // of the phase's time

class Drawing {
 public:
  std::string str(const std::vector<RooflinePhase>& phases) {
    for (const RooflinePhase& phase : phases) draw(phase);
    const double width = kLeft + kBars + 150;
    return fmt::format(
               "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" "
               "viewBox=\"0 0 {0:.0f} {1:.0f}\" font-family=\"Helvetica, Arial, sans-serif\" "
               "font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
               width, y_ + kMargin) +
           text_ + "</svg>\n";
  }

 private:
  template <typename... Args>
  void add(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(text_), format, std::forward<Args>(args)...);
    text_ += '\n';
  }

  void draw(const RooflinePhase& phase) {
    double total = 0, longest = 0;
    for (const RooflineRow& row : phase.rows) {
      total += row.seconds;
      longest = std::max({longest, row.seconds, row.limit});
    }
    y_ += kTitle;
    add("<text x=\"{}\" y=\"{:.1f}\" font-size=\"15\" font-weight=\"bold\">{}: {:.2f} ms"
        "<tspan dx=\"10\" font-size=\"12\" font-weight=\"normal\" fill=\"#666666\">dark: what the "
        "machine's limit would take</tspan></text>",
        kMargin, y_ - 14, phase.title, 1e3 * total);
    for (const RooflineRow& row : phase.rows) {
      if (row.seconds < kLeastShown * total) continue;
      draw(row, total, kBars / longest);
    }
  }

  void draw(const RooflineRow& row, double total, double scale) {
    const double text = y_ + kBar - 3;
    add("<text x=\"{}\" y=\"{:.1f}\">{}</text>", kMargin, text, row.name);
    add("<rect x=\"{}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{}\" fill=\"{}\"/>", kLeft, y_,
        row.seconds * scale, kBar, kTime);
    add("<rect x=\"{}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{}\" fill=\"{}\"/>", kLeft, y_,
        row.limit * scale, kBar, kLimit);
    const std::string share =
        row.limit > 0 ? fmt::format(", {:.0f}% of limit", 100 * row.limit / row.seconds) : "";
    add("<text x=\"{:.1f}\" y=\"{:.1f}\" fill=\"#666666\">{:.1f}%{}</text>",
        kLeft + std::max(row.seconds, row.limit) * scale + 6, text, 100 * row.seconds / total,
        share);
    y_ += kRow;
  }

  std::string text_;
  double y_ = 0;
};

}  // namespace

std::string roofline_svg(const std::vector<RooflinePhase>& phases) { return Drawing().str(phases); }

}  // namespace ashlar::plan
