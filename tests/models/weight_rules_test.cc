#include "tests/models/model_run.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

namespace ashlar::testing {
namespace {

class WeightRules : public ::testing::TestWithParam<const char*> {
 protected:
  bundle::Bundle model_ = bundle::Bundle::open(model_fixture(GetParam()));
};

TEST_P(WeightRules, CoverTheFileExactly) {
  std::vector<std::string> tensors;
  for (const auto& rule : models::weight_rules(model_.config())) tensors.push_back(rule.tensor);
  std::vector<std::string> found = model_.open_weights().names();
  std::ranges::sort(tensors);
  std::ranges::sort(found);
  EXPECT_EQ(tensors, found);
}

TEST_P(WeightRules, CoverTheParametersExactly) {
  std::vector<std::string> covered, parameters;
  std::map<std::string, int64_t> parts;  // of parameters given in parts
  for (const auto& rule : models::weight_rules(model_.config())) {
    if (rule.index) {
      EXPECT_EQ(*rule.index, parts[rule.parameters.front()]++) << rule.tensor;
      if (*rule.index > 0) continue;
    }
    covered.insert(covered.end(), rule.parameters.begin(), rule.parameters.end());
  }
  const graph::Graph graph = models::build_training(model_.config());
  for (const graph::Variable& variable : graph.variables()) {
    if (variable.kind != graph::VariableKind::kParameter) continue;
    parameters.push_back(variable.name);
    const int64_t wanted = parts.contains(variable.name) ? variable.shape[0] : 0;
    EXPECT_EQ(parts[variable.name], wanted) << variable.name;
  }
  std::ranges::sort(covered);
  std::ranges::sort(parameters);
  EXPECT_EQ(covered, parameters);
}

TEST_P(WeightRules, ParameterCountIsTheFiles) {
  const auto file = model_.open_weights();
  int64_t count = 0;
  for (const std::string& name : file.names()) count += file.entry(name).shape.elements();
  EXPECT_EQ(models::parameter_count(model_.config()), count);
}

// All graphs of a model name the same parameters with the same shapes.
TEST_P(WeightRules, GraphsShareParameters) {
  const auto parameters = [](const graph::Graph& graph) {
    std::set<std::string> found;
    for (const graph::Variable& variable : graph.variables()) {
      if (variable.kind == graph::VariableKind::kCache) continue;
      found.insert(variable.name + variable.shape.str());
    }
    return found;
  };
  const auto training = parameters(models::build_training(model_.config()));
  EXPECT_EQ(parameters(models::build_logits(model_.config())), training);
  EXPECT_EQ(parameters(models::build_serving(model_.config(), {4, 4, DType::kBF16})), training);
}

INSTANTIATE_TEST_SUITE_P(Models, WeightRules,
                         ::testing::Values("gpt2", "llama", "llama2", "mistral", "mixtral", "phi3",
                                           "qwen2", "qwen3"),
                         [](const auto& model) { return std::string(model.param); });

TEST(WeightRules, KnownBuffers) {
  const auto gpt2 = bundle::Bundle::open(model_fixture("gpt2")).config();
  EXPECT_TRUE(models::is_known_buffer(gpt2, "transformer.h.0.attn.bias"));
  EXPECT_TRUE(models::is_known_buffer(gpt2, "h.11.attn.masked_bias"));
  EXPECT_TRUE(models::is_known_buffer(gpt2, "lm_head.weight"));
  EXPECT_FALSE(models::is_known_buffer(gpt2, "h.0.attn.c_attn.bias"));
  const auto llama = bundle::Bundle::open(model_fixture("llama")).config();
  EXPECT_TRUE(models::is_known_buffer(llama, "model.layers.0.self_attn.rotary_emb.inv_freq"));
  EXPECT_FALSE(models::is_known_buffer(llama, "lm_head.weight"));
}

}  // namespace
}  // namespace ashlar::testing
