#include "ashlar/runtime/variable_store.h"

#include "ashlar/graph/builder.h"
#include "ashlar/graph/ops/linear.h"
#include "tests/base/messages.h"

#include <gtest/gtest.h>

#include <cmath>
#include <utility>

namespace ashlar::runtime {
namespace {

using ashlar::testing::error_of;

// y = x w with w a bf16 shadow of `source`.
graph::Graph shadow_graph(bool with_source) {
  graph::Graph g;
  graph::Builder b(g);
  graph::Variable shadow;
  if (with_source) {
    b.parameter("w", {3, 4}, {"out", "in"}, {graph::Init::Kind::kNormal, 0.5f, {}});
    shadow.source = *g.find_variable("w");
  }
  shadow.name = "w.bf16";
  shadow.kind = graph::VariableKind::kShadow;
  shadow.dtype = DType::kBF16;
  shadow.shape = {3, 4};
  const graph::ValueId w = g.current(g.add_variable(std::move(shadow)));
  const graph::ValueId x = b.input("x", DType::kBF16, {graph::Symbol::kTokens, 4});
  g.mark_output("y", graph::linear(b, x, w, {}, "y", DType::kF32));
  return g;
}

TEST(VariableStoreTest, AShadowBringsItsSourceAndIsRoundedFromIt) {
  const graph::Graph g = shadow_graph(true);
  VariableStore store(3);
  store.add_missing(g);
  store.refresh_shadows(g);
  const auto source = store.at("w").span<float>();
  const auto shadow = store.at("w.bf16").span<bf16>();
  ASSERT_EQ(shadow.size(), source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    EXPECT_NE(source[i], 0);
    EXPECT_NEAR(to_float(shadow[i]), source[i], std::abs(source[i]) / 256);
  }
}

TEST(VariableStoreTest, AShadowWithoutASourceIsAnError) {
  const graph::Graph g = shadow_graph(false);
  VariableStore store;
  EXPECT_EQ(error_of([&] { store.add_missing(g); }),
            "variable w.bf16: a shadow without a source to round from");
  EXPECT_EQ(error_of([&] { store.refresh_shadows(g); }),
            "variable w.bf16: a shadow without a source to round from");
}

}  // namespace
}  // namespace ashlar::runtime
