#include "ashlar/graph/svg.h"

#include "ashlar/graph/svg_layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>

namespace ashlar::graph {
namespace {

constexpr const char* kSavedStyle = " fill=\"#2f6db5\" font-style=\"italic\"";

struct Colours {
  const char *fill, *stroke, *meaning;
};
Colours colours(Phase phase) {
  switch (phase) {
    case Phase::kForward:
      return {"#e3eefb", "#2f6db5", "forward"};
    case Phase::kInputGrad:
      return {"#fdebd9", "#c46a1b", "backward: gradients of inputs"};
    case Phase::kWeightGrad:
      return {"#e4f4e3", "#3c8a3a", "backward: gradients of weights"};
    case Phase::kReduce:
      return {"#fbe6ea", "#b23a58", "sums over ranks"};
    case Phase::kNorm:
      return {"#f1e6f7", "#5a6ab0", "norm of the gradients"};
    case Phase::kUpdate:
      return {"#f1e6f7", "#7d4aa0", "update"};
  }
  return {"#ffffff", "#000000", ""};
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

class Drawing {
 public:
  Drawing(const Graph& graph, const std::string& title) : layout_(lay_out(graph)), title_(title) {}

  std::string str() const {
    std::string svg = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" "
        "viewBox=\"0 0 {0:.0f} {1:.0f}\" font-family=\"monospace\" font-size=\"11\">\n"
        "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
        "<defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"6\" "
        "markerHeight=\"6\" orient=\"auto-start-reverse\"><path d=\"M0 0L8 4L0 8z\" "
        "fill=\"#777777\"/></marker></defs>\n",
        std::max(layout_.width, kLegendWidth), layout_.height);
    draw_header(svg);
    for (const Edge& edge : layout_.edges) draw_edge(svg, edge);
    for (const Box& box : layout_.boxes) draw_box(svg, box);
    return svg + "</svg>\n";
  }

 private:
  void draw_header(std::string& svg) const {
    const auto out = std::back_inserter(svg);
    fmt::format_to(out, "<text x=\"{}\" y=\"26\" font-size=\"16\" font-weight=\"bold\">{}</text>\n",
                   kMargin, escaped(title_));
    double x = kMargin;
    for (const Phase phase : kPhases) {
      const bool used = std::ranges::any_of(
          layout_.boxes, [phase](const Box& box) { return box.node->phase == phase; });
      if (!used) continue;
      const Colours colour = colours(phase);
      fmt::format_to(out,
                     "<rect x=\"{}\" y=\"40\" width=\"14\" height=\"14\" rx=\"3\" fill=\"{}\" "
                     "stroke=\"{}\"/><text x=\"{}\" y=\"51\">{}</text>\n",
                     x, colour.fill, colour.stroke, x + 20, colour.meaning);
      x += 20 + static_cast<double>(std::string_view(colour.meaning).size()) * kCharacter + 24;
    }
    if (std::ranges::any_of(layout_.boxes,
                            [](const Box& box) { return box.first_saved < box.first_output; })) {
      fmt::format_to(out,
                     "<text x=\"{}\" y=\"51\"{}>from NAME: what an earlier phase left</text>\n", x,
                     kSavedStyle);
    }
  }

  void draw_edge(std::string& svg, const Edge& edge) const {
    const auto out = std::back_inserter(svg);
    const Box &from = layout_.boxes[static_cast<size_t>(edge.from)],
              &to = layout_.boxes[static_cast<size_t>(edge.to)];
    constexpr const char* kStyle =
        "fill=\"none\" stroke=\"#888888\" stroke-width=\"1.2\" marker-end=\"url(#arrow)\"";
    if (!edge.skips) {
      const double middle = (edge.leave_y + to.y) / 2;
      fmt::format_to(out,
                     "<path d=\"M{0:.1f} {1:.1f}V{2:.1f}C{0:.1f} {3:.1f} {4:.1f} {3:.1f} {4:.1f} "
                     "{5:.1f}\" {6}/>\n",
                     edge.leave_x, from.y + from.height, edge.leave_y, middle, edge.enter_x, to.y,
                     kStyle);
      return;
    }
    fmt::format_to(out,
                   "<path d=\"M{:.1f} {:.1f}V{:.1f}H{:.1f}V{:.1f}H{:.1f}V{:.1f}\" "
                   "stroke-linejoin=\"round\" {}/>\n",
                   edge.leave_x, from.y + from.height, edge.leave_y, edge.x, edge.enter_y,
                   edge.enter_x, to.y, kStyle);
  }

  static void draw_box(std::string& svg, const Box& box) {
    const auto out = std::back_inserter(svg);
    const Colours colour = colours(box.node->phase);
    fmt::format_to(out,
                   "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" rx=\"5\" "
                   "fill=\"{}\" stroke=\"{}\"/>\n",
                   box.x, box.y, box.width, box.height, colour.fill, colour.stroke);
    for (size_t i = 0; i < box.lines.size(); ++i) {
      const char* style = i == 0                                         ? " font-weight=\"bold\""
                          : i == 1                                       ? " fill=\"#555555\""
                          : i >= box.first_saved && i < box.first_output ? kSavedStyle
                                                                         : "";
      fmt::format_to(out, "<text x=\"{:.1f}\" y=\"{:.1f}\"{}>{}</text>\n", box.x + kPadding,
                     box.y + kPadding + kLineHeight * static_cast<double>(i) + 10, style,
                     escaped(box.lines[i]));
    }
  }

  static constexpr double kLegendWidth = 860;

  Layout layout_;
  std::string title_;
};

}  // namespace

std::string to_svg(const Graph& graph, const std::string& title) {
  return Drawing(graph, title).str();
}

}  // namespace ashlar::graph
