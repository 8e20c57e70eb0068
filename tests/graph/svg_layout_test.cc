// Drawings of graphs: no box lies on another, no edge crosses one, text fits its box, and what
// forward leaves for backward is named.
#include "ashlar/graph/svg_layout.h"

#include "ashlar/graph/svg.h"
#include "tests/graph/blocks.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace ashlar::graph {
namespace {

Graph llama() { return block_graph(llama_block); }
Graph gpt2() { return block_graph(gpt2_block); }

class SvgLayout : public ::testing::TestWithParam<Graph (*)()> {
 protected:
  const Graph graph_ = GetParam()();
  const Layout layout_ = lay_out(graph_);
};

TEST_P(SvgLayout, BoxesLieApartAndTextFits) {
  ASSERT_EQ(layout_.boxes.size(), graph_.nodes().size());
  for (size_t i = 0; i < layout_.boxes.size(); ++i) {
    const Box& a = layout_.boxes[i];
    EXPECT_EQ(a.lines[1], graph_.nodes()[i].name);
    EXPECT_GE(a.x, kMargin);
    EXPECT_LE(a.x + a.width, layout_.width - kMargin);
    EXPECT_LE(a.y + a.height, layout_.height - kMargin);
    for (const std::string& line : a.lines) {
      EXPECT_LE(static_cast<double>(line.size()) * kCharacter + 2 * kPadding, a.width) << line;
    }
    for (size_t k = 0; k < i; ++k) {
      const Box& b = layout_.boxes[k];
      const bool apart = a.x + a.width < b.x || b.x + b.width < a.x || a.y + a.height < b.y ||
                         b.y + b.height < a.y;
      EXPECT_TRUE(apart) << a.lines[1] << " lies on " << b.lines[1];
    }
  }
}

// Whether the rectangle between two corners touches a box.
bool touches(const Box& box, double x1, double y1, double x2, double y2) {
  return std::max(x1, x2) >= box.x && std::min(x1, x2) <= box.x + box.width &&
         std::max(y1, y2) >= box.y && std::min(y1, y2) <= box.y + box.height;
}

TEST_P(SvgLayout, EdgesCrossNoBox) {
  int skipping = 0;
  for (const Edge& edge : layout_.edges) {
    const Box &from = layout_.boxes[static_cast<size_t>(edge.from)],
              &to = layout_.boxes[static_cast<size_t>(edge.to)];
    EXPECT_LT(from.y + from.height, edge.enter_y) << from.lines[1];
    for (const Box& box : layout_.boxes) {
      const std::string what =
          fmt::format("{} to {} through {}", from.lines[1], to.lines[1], box.lines[1]);
      // From the source's bottom and into the target's top nothing is in the way but themselves.
      EXPECT_TRUE(&box == &from ||
                  !touches(box, edge.leave_x, from.y + from.height, edge.leave_x, edge.leave_y))
          << what;
      EXPECT_TRUE(&box == &to || !touches(box, edge.enter_x, edge.enter_y, edge.enter_x, to.y))
          << what;
      if (!edge.skips) {  // a curve stays between its ends
        EXPECT_TRUE(&box == &to ||
                    !touches(box, edge.leave_x, edge.leave_y + 0.1, edge.enter_x, to.y - 0.1))
            << what;
        continue;
      }
      EXPECT_FALSE(touches(box, edge.leave_x, edge.leave_y, edge.x, edge.leave_y)) << what;
      EXPECT_FALSE(touches(box, edge.x, edge.leave_y, edge.x, edge.enter_y)) << what;
      EXPECT_FALSE(touches(box, edge.x, edge.enter_y, edge.enter_x, edge.enter_y)) << what;
    }
    skipping += edge.skips ? 1 : 0;
    EXPECT_LE(edge.x, layout_.width);
  }
  EXPECT_GT(skipping, 0);  // residuals do
}

// Every producer of an input is a neighbour with an edge, or further up with one, or named.
TEST_P(SvgLayout, EveryInputIsDrawnOrNamed) {
  int named = 0;
  for (const Box& box : layout_.boxes) {
    for (const ValueId id : box.node->inputs) {
      if (!id.valid() || graph_.value(id).producer < 0) continue;
      const int producer = graph_.value(id).producer;
      const std::string line = "from " + graph_.node(producer).name;
      const bool drawn = std::ranges::count(box.from, producer) > 0;
      const bool written =
          std::find(box.lines.begin() + static_cast<std::ptrdiff_t>(box.first_saved),
                    box.lines.begin() + static_cast<std::ptrdiff_t>(box.first_output),
                    line) != box.lines.begin() + static_cast<std::ptrdiff_t>(box.first_output);
      EXPECT_NE(drawn, written) << box.lines[1] << " " << line;
      named += written ? 1 : 0;
      if (written) {
        EXPECT_EQ(graph_.node(producer).phase, Phase::kForward) << line;
        EXPECT_NE(box.node->phase, Phase::kForward) << line;
      }
    }
  }
  EXPECT_GT(named, 10);  // what attention, norms and products save
}

TEST_P(SvgLayout, TheDrawingHoldsEveryLine) {
  const std::string svg = to_svg(graph_, "<a title>");
  EXPECT_THAT(svg, ::testing::StartsWith("<svg "));
  EXPECT_THAT(svg, ::testing::EndsWith("</svg>\n"));
  EXPECT_THAT(svg, ::testing::HasSubstr("&lt;a title&gt;"));
  EXPECT_THAT(svg, ::testing::HasSubstr("from NAME: what an earlier phase left"));
  for (const Box& box : layout_.boxes) {
    EXPECT_THAT(svg, ::testing::HasSubstr(">" + box.lines[1] + "</text>"));
  }
  EXPECT_EQ(svg, to_svg(graph_, "<a title>"));
}

INSTANTIATE_TEST_SUITE_P(Blocks, SvgLayout, ::testing::Values(&llama, &gpt2),
                         [](const auto& test) { return test.index == 0 ? "llama" : "gpt2"; });

}  // namespace
}  // namespace ashlar::graph
