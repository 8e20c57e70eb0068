#include "ashlar/graph/svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

namespace ashlar::graph {
namespace {

// Pixels. Text is monospaced, so that its width is known without a font.
constexpr double kCharacter = 6.7, kLine = 14, kPadding = 8;
constexpr double kGapX = 26, kGapY = 26, kMargin = 24, kHeader = 64;
constexpr double kBow = 18, kBowPerLayer = 2.5, kWidestBow = 220;
constexpr size_t kLongestText = 60;

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

std::string shortened(std::string text) {
  if (text.size() > kLongestText) text = fmt::format("{:.{}}...", text, kLongestText - 3);
  return text;
}

struct Box {
  const Node* node;
  std::vector<std::string> lines;
  std::vector<int> from;  // boxes whose results it reads
  int layer = 0;
  double x = 0, y = 0, width = 0, height = 0;
  double middle_x() const { return x + width / 2; }
  double middle_y() const { return y + height / 2; }
};

class Drawing {
 public:
  Drawing(const Graph& graph, const std::string& title) : graph_(graph), title_(title) {
    for (const Node& node : graph.nodes()) boxes_.push_back(make_box(node));
    place();
  }

  std::string str() const {
    std::string svg = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" "
        "viewBox=\"0 0 {0:.0f} {1:.0f}\" font-family=\"monospace\" font-size=\"11\">\n"
        "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
        "<defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"6\" "
        "markerHeight=\"6\" orient=\"auto-start-reverse\"><path d=\"M0 0L8 4L0 8z\" "
        "fill=\"#777777\"/></marker></defs>\n",
        width_, height_);
    draw_header(svg);
    for (const Box& box : boxes_) {
      for (const int from : box.from) draw_edge(svg, boxes_[static_cast<size_t>(from)], box);
    }
    for (const Box& box : boxes_) draw_box(svg, box);
    return svg + "</svg>\n";
  }

 private:
  Box make_box(const Node& node) {
    Box box{.node = &node, .lines = {}, .from = {}};
    const std::string attributes = node.op->attributes();
    box.lines.push_back(shortened(
        fmt::format("{}{}{}", node.op->kind(), attributes.empty() ? "" : " ", attributes)));
    box.lines.push_back(shortened(node.name));
    for (const ValueId id : node.inputs) {
      if (!id.valid()) continue;
      const ValueInfo& value = graph_.value(id);
      if (value.producer >= 0) {
        box.from.push_back(value.producer);
        box.layer = std::max(box.layer, boxes_[static_cast<size_t>(value.producer)].layer + 1);
      } else {
        box.lines.push_back(shortened(fmt::format("{}: {}", value.name, value.type.str())));
      }
    }
    std::ranges::sort(box.from);
    box.from.erase(std::unique(box.from.begin(), box.from.end()), box.from.end());
    for (const ValueId id : node.outputs) {
      std::string line = fmt::format("-> {}", graph_.type(id).str());
      for (const auto& [name, output] : graph_.outputs()) {
        if (output == id) line += fmt::format(" = {}", name);
      }
      box.lines.push_back(shortened(std::move(line)));
    }
    size_t longest = 0;
    for (const std::string& line : box.lines) longest = std::max(longest, line.size());
    box.width = static_cast<double>(longest) * kCharacter + 2 * kPadding;
    box.height = static_cast<double>(box.lines.size()) * kLine + 2 * kPadding;
    return box;
  }

  // Each layer's boxes side by side, ordered by where their inputs stand, around one middle line.
  void place() {
    std::vector<std::vector<Box*>> layers;
    for (Box& box : boxes_) {
      if (static_cast<size_t>(box.layer) >= layers.size()) {
        layers.resize(static_cast<size_t>(box.layer) + 1);
      }
      layers[static_cast<size_t>(box.layer)].push_back(&box);
    }
    double widest = 0;
    for (const auto& layer : layers) widest = std::max(widest, width_of(layer));
    double y = kHeader + kMargin;
    for (auto& layer : layers) {
      std::ranges::stable_sort(layer, {}, [this](const Box* box) { return pull(*box); });
      double x = kMargin + (widest - width_of(layer)) / 2, height = 0;
      for (Box* box : layer) {
        box->x = x;
        box->y = y;
        x += box->width + kGapX;
        height = std::max(height, box->height);
      }
      right_of_layer_.push_back(x - kGapX);
      y += height + kGapY;
    }
    width_ = std::max(kMargin + widest + kWidestBow + kMargin, kLegendWidth);
    height_ = y - kGapY + kMargin;
  }

  static double width_of(const std::vector<Box*>& layer) {
    double width = -kGapX;
    for (const Box* box : layer) width += box->width + kGapX;
    return width;
  }

  double pull(const Box& box) const {
    if (box.from.empty()) return 0;
    double sum = 0;
    for (const int from : box.from) sum += boxes_[static_cast<size_t>(from)].middle_x();
    return sum / static_cast<double>(box.from.size());
  }

  void draw_header(std::string& svg) const {
    const auto out = std::back_inserter(svg);
    fmt::format_to(out, "<text x=\"{}\" y=\"26\" font-size=\"16\" font-weight=\"bold\">{}</text>\n",
                   kMargin, escaped(title_));
    double x = kMargin;
    for (const Phase phase :
         {Phase::kForward, Phase::kInputGrad, Phase::kWeightGrad, Phase::kUpdate}) {
      const bool used =
          std::ranges::any_of(boxes_, [phase](const Box& box) { return box.node->phase == phase; });
      if (!used) continue;
      const Colours colour = colours(phase);
      fmt::format_to(out,
                     "<rect x=\"{}\" y=\"40\" width=\"14\" height=\"14\" rx=\"3\" fill=\"{}\" "
                     "stroke=\"{}\"/><text x=\"{}\" y=\"51\">{}</text>\n",
                     x, colour.fill, colour.stroke, x + 20, colour.meaning);
      x += 20 + static_cast<double>(std::string_view(colour.meaning).size()) * kCharacter + 24;
    }
  }

  void draw_edge(std::string& svg, const Box& from, const Box& to) const {
    const auto out = std::back_inserter(svg);
    constexpr const char* kStyle =
        "fill=\"none\" stroke=\"#999999\" stroke-width=\"1.2\" marker-end=\"url(#arrow)\"";
    if (to.layer == from.layer + 1) {
      const double y = from.y + from.height, middle = (y + to.y) / 2;
      fmt::format_to(out,
                     "<path d=\"M{:.1f} {:.1f}C{:.1f} {:.1f} {:.1f} {:.1f} {:.1f} {:.1f}\" {}/>\n",
                     from.middle_x(), y, from.middle_x(), middle, to.middle_x(), middle,
                     to.middle_x(), to.y, kStyle);
      return;
    }
    double right = 0;
    for (int layer = from.layer; layer <= to.layer; ++layer) {
      right = std::max(right, right_of_layer_[static_cast<size_t>(layer)]);
    }
    right += std::min(kBow + kBowPerLayer * (to.layer - from.layer), kWidestBow);
    // A cubic curve reaches three quarters of the way to its control points.
    const double begin = from.x + from.width, end = to.x + to.width;
    const double control = (right - (begin + end) / 8) / 0.75;
    fmt::format_to(out,
                   "<path d=\"M{:.1f} {:.1f}C{:.1f} {:.1f} {:.1f} {:.1f} {:.1f} {:.1f}\" {}/>\n",
                   begin, from.middle_y(), control, from.middle_y(), control, to.middle_y(), end,
                   to.middle_y(), kStyle);
  }

  static void draw_box(std::string& svg, const Box& box) {
    const auto out = std::back_inserter(svg);
    const Colours colour = colours(box.node->phase);
    fmt::format_to(out,
                   "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" rx=\"5\" "
                   "fill=\"{}\" stroke=\"{}\"/>\n",
                   box.x, box.y, box.width, box.height, colour.fill, colour.stroke);
    for (size_t i = 0; i < box.lines.size(); ++i) {
      fmt::format_to(out, "<text x=\"{:.1f}\" y=\"{:.1f}\"{}>{}</text>\n", box.x + kPadding,
                     box.y + kPadding + kLine * static_cast<double>(i) + 10,
                     i == 0   ? " font-weight=\"bold\""
                     : i == 1 ? " fill=\"#555555\""
                              : "",
                     escaped(box.lines[i]));
    }
  }

  static constexpr double kLegendWidth = 640;

  const Graph& graph_;
  std::string title_;
  std::vector<Box> boxes_;
  std::vector<double> right_of_layer_;
  double width_ = 0, height_ = 0;
};

}  // namespace

std::string to_svg(const Graph& graph, const std::string& title) {
  return Drawing(graph, title).str();
}

}  // namespace ashlar::graph
