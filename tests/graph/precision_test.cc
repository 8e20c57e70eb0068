// The precision pass: which values become bf16, and that nothing else changes (equal values in
// double, where a shadow is its parameter and a cast does nothing).
#include "ashlar/passes/precision.h"

#include "ashlar/passes/differentiate.h"
#include "tests/runtime/small_models.h"

#include <gtest/gtest.h>

namespace ashlar::graph {
namespace {

using ::ashlar::testing::SmallModelOptions;

class Precision : public ::testing::TestWithParam<SmallModelOptions> {
 protected:
  Precision() {
    f32_ = ashlar::testing::small_model(GetParam());
    gradients_ = passes::differentiate(f32_, f32_.output("loss"));
    bf16_ = passes::precision(f32_, DType::kBF16);
  }
  Graph f32_, bf16_;
  std::map<VariableId, VariableId> gradients_;
};

TEST_P(Precision, KeepsEveryValueInDouble) {
  const auto batch = ashlar::testing::small_batch(GetParam(), {7, 1, 9}, 21);
  runtime::VariableStore store(5);
  store.add_missing(f32_);
  store.add_missing(bf16_);
  runtime::ReferenceRun before(f32_, batch.bindings, store), after(bf16_, batch.bindings, store);
  int shadows = 0;
  for (const Variable& variable : bf16_.variables()) {
    if (variable.kind != VariableKind::kShadow) continue;
    after.variable(variable.name) = after.variable(bf16_.variable(variable.source).name);
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

TEST_P(Precision, MatricesAreReadInBf16AndTheRestStaysF32) {
  for (const Variable& variable : bf16_.variables()) {
    const bool shadow = variable.kind == VariableKind::kShadow;
    EXPECT_EQ(variable.dtype, shadow ? DType::kBF16 : DType::kF32) << variable.name;
    if (!shadow) continue;
    EXPECT_EQ(variable.shape, bf16_.variable(variable.source).shape) << variable.name;
  }
  int linears = 0;
  for (const Node& node : bf16_.nodes()) {
    if (node.op->kind() != "linear") continue;
    ++linears;
    EXPECT_EQ(bf16_.type(node.inputs[0]).dtype, DType::kBF16) << node.name;
    EXPECT_EQ(bf16_.type(node.inputs[1]).dtype, DType::kBF16) << node.name;
    EXPECT_EQ(bf16_.type(node.outputs[0]).dtype, DType::kBF16) << node.name;
  }
  EXPECT_GE(linears, 12);
  EXPECT_EQ(bf16_.type(bf16_.output("loss")).dtype, DType::kF64);
}

TEST_P(Precision, F32IsTheGraphItself) {
  EXPECT_EQ(passes::precision(f32_, DType::kF32).str(), f32_.str());
}

INSTANTIATE_TEST_SUITE_P(Models, Precision,
                         ::testing::Values(SmallModelOptions{},
                                           SmallModelOptions{.layer_norm = true, .kv_heads = 3},
                                           SmallModelOptions{.tied = true}));

}  // namespace
}  // namespace ashlar::graph
