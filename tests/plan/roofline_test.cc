#include "ashlar/plan/roofline.h"

#include "ashlar/graph/builder.h"
#include "ashlar/graph/ops/elementwise.h"
#include "ashlar/graph/ops/linear.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ashlar::plan {
namespace {

using graph::Graph;
using graph::ValueId;
using runtime::Profiler;
using testing::HasSubstr;
using Steps = std::vector<std::vector<Profiler::Record>>;

// Two layers: a product with a weight of 1 MB, and an activation.
class Roofline : public testing::Test {
 protected:
  void SetUp() override {
    graph::Builder b(graph_, graph::Phase::kForward);
    ValueId x = b.input("x", DType::kF32, {4, 512});
    for (int layer = 0; layer < 2; ++layer) {
      const auto scope = b.layer_scope("layers." + std::to_string(layer), layer);
      const ValueId weight = b.parameter("up.weight", {512, 512}, {"ffn", "embed"}, {});
      x = activation(b, linear(b, x, weight, {}, "up"), kernels::Activation::kSilu, "act");
    }
    graph_.mark_output("y", x);
  }
  // One step: each product takes `product` seconds, each activation 1.
  std::vector<Profiler::Record> step(double product) const {
    std::vector<Profiler::Record> records;
    for (const graph::Node& node : graph_.nodes()) {
      const bool is_product = node.op->kind() == "linear";
      const graph::Cost cost = is_product ? graph::Cost{8e6, 1e6} : graph::Cost{0, 1e5};
      records.push_back({&node, cost, 10, 10 + (is_product ? product : 1)});
    }
    return records;
  }
  Graph graph_;
};

RooflineRates rates(double flops, double bytes) {
  return {[flops](const graph::Node&) { return flops; }, bytes};
}

TEST_F(Roofline, FastestStepOfEachOpOverAllLayers) {
  const Steps steps = {step(4), step(3), step(5)};
  const std::vector<RooflineRow> rows = roofline(graph_, steps, rates(8e6, 0.5e6));
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].name, "up");
  EXPECT_EQ(rows[0].kind, "linear");
  EXPECT_EQ(rows[0].count, 2);
  EXPECT_DOUBLE_EQ(rows[0].seconds, 6);
  EXPECT_DOUBLE_EQ(rows[0].flops, 16e6);
  EXPECT_DOUBLE_EQ(rows[0].bytes, 2e6);
  // Memory is the slower: 2 s a layer; multiplying takes 1.
  EXPECT_DOUBLE_EQ(rows[0].limit, 4);
  EXPECT_EQ(rows[1].name, "act");
  EXPECT_DOUBLE_EQ(rows[1].seconds, 2);
  EXPECT_EQ(rows[1].limit, 0) << "reads what was just computed";
}

TEST_F(Roofline, MultiplyingMayBeTheLimit) {
  const Steps steps = {step(4)};
  EXPECT_DOUBLE_EQ(roofline(graph_, steps, rates(4e6, 1e6))[0].limit, 4);
}

TEST_F(Roofline, StepsOfOtherOpsAreRefused) {
  Steps steps = {step(4), step(4)};
  steps[1].pop_back();
  EXPECT_ANY_THROW(roofline(graph_, steps, rates(1, 1)));
}

TEST_F(Roofline, TextAndDrawingNameTheShare) {
  const std::vector<RooflineRow> rows = roofline(graph_, {step(4)}, rates(8e6, 0.5e6));
  EXPECT_THAT(roofline_text(rows), HasSubstr("50%"));
  const std::string svg = roofline_svg({{"Decode", rows}});
  EXPECT_THAT(svg, HasSubstr("Decode: 10000.00 ms"));
  EXPECT_THAT(svg, HasSubstr("80.0%, 50% of limit"));
}

}  // namespace
}  // namespace ashlar::plan
