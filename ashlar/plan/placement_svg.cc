#include "ashlar/plan/placement_svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace ashlar::plan {
namespace {

constexpr double kMargin = 16, kTop = 64, kBox = 64, kGap = 18, kRow = 92, kLetter = 6.6;
constexpr const char* kFill = "#4a86c8";
constexpr const char* kNothing = "#efefef";
constexpr const char* kTerm = "url(#term)";

// Where a part lies in a box: [begin, end) of its side.
struct Extent {
  double begin = 0, end = 1;
};
Extent extent(const Part& part, const Shape& whole, int dim) {
  const auto size = static_cast<double>(std::max<int64_t>(whole[dim], 1));
  const Slice& slice = part[static_cast<size_t>(dim)];
  return {static_cast<double>(slice.offset) / size, static_cast<double>(slice.end()) / size};
}

class Drawing {
 public:
  Drawing(const Mesh& mesh, const std::vector<DrawnPlacement>& values)
      : mesh_(mesh), values_(values) {
    size_t longest = 0;
    for (const DrawnPlacement& value : values) {
      longest = std::max({longest, value.name.size(), caption(value).size()});
    }
    left_ = 2 * kMargin + kLetter * static_cast<double>(longest);
  }

  std::string str() {
    const double width = left_ + mesh_.size() * (kBox + kGap) + kMargin;
    const double height = kTop + kRow * static_cast<double>(values_.size());
    add("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" "
        "viewBox=\"0 0 {0:.0f} {1:.0f}\" font-family=\"Helvetica, Arial, sans-serif\" "
        "font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>",
        width, height);
    add("<text x=\"{}\" y=\"26\" font-size=\"15\" font-weight=\"bold\">{}</text>", kMargin,
        mesh_.str());
    if (std::ranges::any_of(values_, &DrawnPlacement::term)) {
      add("<defs><pattern id=\"term\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" "
          "patternTransform=\"rotate(45)\"><rect width=\"3\" height=\"6\" fill=\"{}\"/></pattern>"
          "</defs>",
          kFill);
    }
    for (int rank = 0; rank < mesh_.size(); ++rank) draw_rank(rank);
    for (size_t i = 0; i < values_.size(); ++i) draw_value(i);
    return text_ + "</svg>\n";
  }

 private:
  template <typename... Args>
  void add(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(text_), format, std::forward<Args>(args)...);
    text_ += '\n';
  }

  static std::string caption(const DrawnPlacement& value) {
    const std::string op = value.op.empty() ? "" : value.op + "  ";
    return op + value.whole.str() + "  " + value.placement;
  }
  double x(int rank) const { return left_ + rank * (kBox + kGap); }

  void draw_rank(int rank) {
    std::string place;
    for (const MeshAxis& axis : mesh_.axes()) {
      if (axis.size == 1) continue;
      place += fmt::format("{}{}", place.empty() ? "" : ",", mesh_.coordinate(rank, axis.name));
    }
    add("<text x=\"{0:.1f}\" y=\"42\" text-anchor=\"middle\">rank {1}<tspan x=\"{0:.1f}\" "
        "dy=\"14\" font-size=\"10\" fill=\"#666666\">{2}</tspan></text>",
        x(rank) + kBox / 2, rank, place);
  }

  void draw_value(size_t i) {
    const DrawnPlacement& value = values_[i];
    const double y = kTop + kRow * static_cast<double>(i);
    add("<text x=\"{0}\" y=\"{1:.1f}\">{2}<tspan x=\"{0}\" dy=\"16\" fill=\"#666666\">{3}</tspan>"
        "</text>",
        kMargin, y + kBox / 2 - 4, value.name, caption(value));
    for (int rank = 0; rank < mesh_.size(); ++rank) {
      add("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{}\" height=\"{}\" fill=\"{}\"/>", x(rank), y,
          kBox, kBox, kNothing);
      for (const Part& piece : value.parts[static_cast<size_t>(rank)]) {
        draw_piece(value, piece, rank, y);
      }
      add("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{}\" height=\"{}\" fill=\"none\" "
          "stroke=\"#333333\"/>",
          x(rank), y, kBox, kBox);
    }
  }

  void draw_piece(const DrawnPlacement& value, const Part& part, int rank, double y) {
    if (part.empty()) return;  // a scalar
    const Extent down = extent(part, value.whole, 0);
    const int last = value.whole.rank() - 1;
    const Extent across = last > 0 ? extent(part, value.whole, last) : Extent{};
    add("<rect x=\"{:.2f}\" y=\"{:.2f}\" width=\"{:.2f}\" height=\"{:.2f}\" fill=\"{}\"/>",
        x(rank) + kBox * across.begin, y + kBox * down.begin, kBox * (across.end - across.begin),
        kBox * (down.end - down.begin), value.term ? kTerm : kFill);
  }

  const Mesh& mesh_;
  const std::vector<DrawnPlacement>& values_;
  double left_ = 0;
  std::string text_;
};

}  // namespace

std::string placements_svg(const Mesh& mesh, const std::vector<DrawnPlacement>& values) {
  return Drawing(mesh, values).str();
}

}  // namespace ashlar::plan
