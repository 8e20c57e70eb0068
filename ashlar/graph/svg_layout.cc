#include "ashlar/graph/svg_layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

namespace ashlar::graph {
namespace {

constexpr double kGapX = 26, kGapY = 34;
constexpr double kLane = 8;     // between vertical parts, and of them from boxes
constexpr double kTrack = 4;    // between the horizontal parts of one gap
constexpr int kTracks = 3;      // as many as fit before they begin again
constexpr double kSide = 0.75;  // where on a box's width an edge leaves and enters that skips rows
constexpr size_t kLongestText = 60;

std::string shortened(std::string text) {
  if (text.size() > kLongestText) text = fmt::format("{:.{}}...", text, kLongestText - 3);
  return text;
}

// Forward, backward, update: what one of them leaves for another is named, not drawn, unless the
// two boxes are neighbours. An edge for each value saved for backward would hide all others.
int part(Phase phase) { return phase == Phase::kForward ? 0 : phase >= Phase::kReduce ? 2 : 1; }

class LayoutMaker {
 public:
  explicit LayoutMaker(const Graph& graph) : graph_(graph) {
    for (const Node& node : graph.nodes()) add_box(node);
    place_rows();
    for (size_t to = 0; to < boxes().size(); ++to) {
      for (const int from : boxes()[to].from) route(from, static_cast<int>(to));
    }
    layout_.width += kMargin;
  }

  Layout take() { return std::move(layout_); }

 private:
  std::vector<Box>& boxes() { return layout_.boxes; }
  Box& box(int i) { return layout_.boxes[static_cast<size_t>(i)]; }

  void add_box(const Node& node) {
    Box box{.node = &node, .lines = {}, .from = {}};
    const std::string attributes = node.op->attributes();
    box.lines.push_back(
        fmt::format("{}{}{}", node.op->kind(), attributes.empty() ? "" : " ", attributes));
    box.lines.push_back(node.name);
    std::set<int> producers;
    for (const ValueId id : node.inputs) {
      if (!id.valid()) continue;
      const ValueInfo& value = graph_.value(id);
      if (value.producer < 0) {
        box.lines.push_back(fmt::format("{}: {}", value.name, value.type.str()));
      } else {
        producers.insert(value.producer);
        box.row = std::max(box.row, this->box(value.producer).row + 1);
      }
    }
    box.first_saved = box.lines.size();
    for (const int producer : producers) {
      const Box& source = this->box(producer);
      if (part(source.node->phase) == part(node.phase) || source.row + 1 == box.row) {
        box.from.push_back(producer);
      } else {
        box.lines.push_back("from " + source.node->name);
      }
    }
    box.first_output = box.lines.size();
    for (const ValueId id : node.outputs) {
      std::string line = fmt::format("-> {}", graph_.type(id).str());
      for (const auto& [name, output] : graph_.outputs()) {
        if (output == id) line += fmt::format(" = {}", name);
      }
      box.lines.push_back(std::move(line));
    }
    size_t longest = 0;
    for (std::string& line : box.lines) {
      line = shortened(std::move(line));
      longest = std::max(longest, line.size());
    }
    box.width = static_cast<double>(longest) * kCharacter + 2 * kPadding;
    box.height = static_cast<double>(box.lines.size()) * kLineHeight + 2 * kPadding;
    boxes().push_back(std::move(box));
  }

  // Each row's boxes side by side, ordered by where their inputs stand, around one middle line.
  void place_rows() {
    for (Box& box : boxes()) {
      if (static_cast<size_t>(box.row) >= rows_.size())
        rows_.resize(static_cast<size_t>(box.row) + 1);
      rows_[static_cast<size_t>(box.row)].push_back(&box);
    }
    double widest = 0;
    for (const auto& row : rows_) widest = std::max(widest, width_of(row));
    double y = kHeader + kMargin;
    for (auto& row : rows_) {
      std::ranges::stable_sort(row, {}, [this](const Box* box) { return pull(*box); });
      double x = kMargin + (widest - width_of(row)) / 2, height = 0;
      for (Box* box : row) {
        box->x = x;
        box->y = y;
        x += box->width + kGapX;
        height = std::max(height, box->height);
      }
      bottoms_.push_back(y + height);
      y += height + kGapY;
    }
    layout_.width = kMargin + widest;
    layout_.height = y - kGapY + kMargin;
    tracks_.resize(rows_.size());
  }

  static double width_of(const std::vector<Box*>& row) {
    double width = -kGapX;
    for (const Box* box : row) width += box->width + kGapX;
    return width;
  }

  double pull(const Box& box) {
    if (box.from.empty()) return 0;
    double sum = 0;
    for (const int from : box.from) sum += this->box(from).middle_x();
    return sum / static_cast<double>(box.from.size());
  }

  void route(int from, int to) {
    const Box &source = box(from), &target = box(to);
    Edge edge{.from = from, .to = to, .skips = target.row > source.row + 1};
    const double side = edge.skips ? kSide : 0.5,
                 bottom = bottoms_[static_cast<size_t>(source.row)];
    edge.leave_x = source.x + side * source.width;
    edge.leave_y = bottom;
    edge.enter_x = target.x + side * target.width;
    edge.enter_y = target.y;
    if (edge.skips) {
      edge.x = lane(source, target, edge.leave_x, edge.enter_x);
      edge.leave_y += kGapY / 3 + track(source.row);
      edge.enter_y -= kGapY / 3 + track(target.row - 1);
      layout_.width = std::max(layout_.width, edge.x + kLane);
    }
    layout_.edges.push_back(edge);
  }

  double track(int gap) { return kTrack * (tracks_[static_cast<size_t>(gap)]++ % kTracks); }

  // The free vertical line that takes the shortest way: below the source, above the target, or
  // beside the rows between them.
  double lane(const Box& source, const Box& target, double leave, double enter) {
    double beside = 0;
    for (int row = source.row + 1; row < target.row; ++row) {
      for (const Box* box : rows_[static_cast<size_t>(row)]) {
        beside = std::max(beside, box->x + box->width + 2 * kLane);
      }
    }
    const auto free = [&](double x) {
      for (int row = source.row + 1; row < target.row; ++row) {
        for (const Box* box : rows_[static_cast<size_t>(row)]) {
          if (x > box->x - kLane && x < box->x + box->width + kLane) return false;
        }
      }
      return std::ranges::none_of(lanes_, [&](const Lane& lane) {
        return std::abs(lane.x - x) < kLane && lane.first < target.row && source.row < lane.last;
      });
    };
    while (!free(beside)) beside += kLane;
    double best = beside;
    const auto length = [&](double x) { return std::abs(x - leave) + std::abs(x - enter); };
    for (const double x : {leave, enter}) {
      if (free(x) && length(x) < length(best)) best = x;
    }
    lanes_.push_back({best, source.row, target.row});
    return best;
  }

  struct Lane {
    double x;
    int first, last;  // rows of source and target
  };

  const Graph& graph_;
  Layout layout_;
  std::vector<std::vector<Box*>> rows_;
  std::vector<double> bottoms_;  // of rows
  std::vector<int> tracks_;      // used below each row
  std::vector<Lane> lanes_;
};

}  // namespace

Layout lay_out(const Graph& graph) { return LayoutMaker(graph).take(); }

}  // namespace ashlar::graph
