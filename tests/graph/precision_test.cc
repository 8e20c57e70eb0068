// The precision pass: which values become bf16 or f16, and that nothing else changes (equal values
// in double, where a shadow is its parameter and a cast does nothing).
#include "ashlar/passes/precision.h"

#include "ashlar/passes/differentiate.h"
#include "tests/runtime/small_models.h"

#include <gtest/gtest.h>

namespace ashlar::graph {
namespace {

using ::ashlar::testing::SmallModelOptions;

class Precision : public ::testing::TestWithParam<std::tuple<SmallModelOptions, DType>> {
 protected:
  Precision() {
    f32_ = ashlar::testing::small_model(model());
    gradients_ = passes::differentiate(f32_, f32_.output("loss"));
    half_ = passes::precision(f32_, compute());
  }
  SmallModelOptions model() const { return std::get<0>(GetParam()); }
  DType compute() const { return std::get<1>(GetParam()); }

  Graph f32_, half_;
  std::map<VariableId, VariableId> gradients_;
};

TEST_P(Precision, KeepsEveryValueInDouble) {
  const auto batch = ashlar::testing::small_batch(model(), {7, 1, 9}, 21);
  runtime::VariableStore store(5);
  store.add_missing(f32_);
  store.add_missing(half_);
  runtime::ReferenceRun before(f32_, batch.bindings, store), after(half_, batch.bindings, store);
  int shadows = 0;
  for (const Variable& variable : half_.variables()) {
    if (variable.kind != VariableKind::kShadow) continue;
    after.variable(variable.name) = after.variable(half_.variable(variable.source).name);
    ++shadows;
  }
  EXPECT_GE(shadows, 10);
  for (auto* run : {&before, &after}) {
    ashlar::testing::set_inputs(*run, batch);
    run->run({.seed = 3, .step = 1});
  }
  EXPECT_NEAR(before.output("loss")[0], after.output("loss")[0], 1e-12);
  for (const auto& [parameter, gradient] : gradients_) {
    const std::string& name = f32_.variable(gradient).name;
    const std::vector<double>&a = before.variable(name), &b = after.variable(name);
    for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 1e-12) << name << "[" << i << "]";
  }
}

TEST_P(Precision, MatricesAreReadIn16BitsAndTheRestStaysF32) {
  for (const Variable& variable : half_.variables()) {
    const bool shadow = variable.kind == VariableKind::kShadow;
    EXPECT_EQ(variable.dtype, shadow ? compute() : DType::kF32) << variable.name;
    if (!shadow) continue;
    EXPECT_EQ(variable.shape, half_.variable(variable.source).shape) << variable.name;
  }
  int linears = 0;
  for (const Node& node : half_.nodes()) {
    if (node.op->kind() != "linear") continue;
    ++linears;
    EXPECT_EQ(half_.type(node.inputs[0]).dtype, compute()) << node.name;
    EXPECT_EQ(half_.type(node.inputs[1]).dtype, compute()) << node.name;
    EXPECT_EQ(half_.type(node.outputs[0]).dtype, compute()) << node.name;
  }
  EXPECT_GE(linears, 12);
  EXPECT_EQ(half_.type(half_.output("loss")).dtype, DType::kF64);
}

TEST_P(Precision, F32IsTheGraphItself) {
  EXPECT_EQ(passes::precision(f32_, DType::kF32).str(), f32_.str());
}

INSTANTIATE_TEST_SUITE_P(Models, Precision,
                         ::testing::Combine(::testing::Values(SmallModelOptions{},
                                                              SmallModelOptions{.layer_norm = true,
                                                                                .kv_heads = 3},
                                                              SmallModelOptions{.tied = true}),
                                            ::testing::Values(DType::kBF16, DType::kF16)));

}  // namespace
}  // namespace ashlar::graph
