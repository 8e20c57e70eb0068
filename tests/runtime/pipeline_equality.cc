#include "tests/runtime/pipelined_training.h"

#include <gtest/gtest.h>

#include <cmath>

namespace ashlar::testing {
namespace {

using schedule::Schedule;

double norm(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value * value;
  return std::sqrt(sum);
}

void expect_near(const std::vector<double>& found, const std::vector<double>& wanted,
                 double tolerance, const std::string& what) {
  ASSERT_EQ(found.size(), wanted.size()) << what;
  std::vector<double> error(found.size());
  for (size_t i = 0; i < found.size(); ++i) error[i] = found[i] - wanted[i];
  EXPECT_LE(norm(error), tolerance * norm(wanted) + 1e-14) << what;
}

// A gradient that is zero in exact arithmetic, a key's bias, is noise that Adam makes a step of.
bool is_noise(const std::string& variable, const TrainedResult& wanted) {
  for (const auto& [name, values] : wanted.gradients) {
    const std::string parameter = name.substr(0, name.size() - std::string(".grad").size());
    if (variable.starts_with(parameter) && norm(values) < 1e-6) return true;
  }
  return false;
}

}  // namespace

void expect_equal(const TrainedResult& found, const TrainedResult& wanted, double tolerance) {
  ASSERT_EQ(found.losses.size(), wanted.losses.size());
  for (size_t step = 0; step < wanted.losses.size(); ++step) {
    EXPECT_NEAR(found.losses[step], wanted.losses[step], tolerance * wanted.losses[step]);
    EXPECT_NEAR(found.aux_losses[step], wanted.aux_losses[step],
                tolerance * wanted.aux_losses[step]);
    EXPECT_NEAR(found.norms[step], wanted.norms[step], tolerance * wanted.norms[step]);
  }
  ASSERT_EQ(found.gradients.size(), wanted.gradients.size());
  for (const auto& [name, values] : wanted.gradients) {
    if (!is_noise(name, wanted)) {
      expect_near(found.gradients.at(name), values, tolerance, name);
    }
  }
  ASSERT_EQ(found.variables.size(), wanted.variables.size());
  for (const auto& [name, values] : wanted.variables) {
    if (!is_noise(name, wanted)) {
      expect_near(found.variables.at(name), values, tolerance, name);
    }
  }
}

SmallModelOptions narrow_model(int stages) {
  return {.width = 8, .heads = 2, .kv_heads = 1, .ffn = 12, .vocab = 17, .layers = stages + 1};
}

SmallRun even_run(const Schedule& schedule, const std::vector<int32_t>& lengths) {
  SmallRun run;
  run.model = narrow_model(schedule.stages.stages());
  run.lengths.assign(static_cast<size_t>(schedule.microbatches), lengths);
  return run;
}

}  // namespace ashlar::testing
