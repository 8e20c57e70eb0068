// Every schedule, on ranks that are threads, against the run of one process: losses, gradients, 20
// steps of AdamW, and the bytes that the ranks send.
#include "ashlar/runtime/pipeline.h"

#include "ashlar/base/error.h"
#include "ashlar/schedule/communication.h"
#include "ashlar/schedule/generators.h"
#include "ashlar/schedule/text.h"
#include "tests/runtime/pipelined_training.h"

#include <gtest/gtest.h>

#include <cmath>

namespace ashlar::runtime {
namespace {

using schedule::Schedule;
using testing::Arithmetic;
using testing::SmallModelOptions;
using testing::SmallRun;
using testing::TrainedResult;

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

// `tolerance` relative to each tensor's norm.
void expect_equal(const TrainedResult& found, const TrainedResult& wanted, double tolerance) {
  ASSERT_EQ(found.losses.size(), wanted.losses.size());
  for (size_t step = 0; step < wanted.losses.size(); ++step) {
    EXPECT_NEAR(found.losses[step], wanted.losses[step], tolerance * wanted.losses[step]);
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

// Small in every way but the layers, of which each stage gets at least one.
SmallModelOptions narrow(int stages) {
  return {.width = 8, .heads = 2, .kv_heads = 1, .ffn = 12, .vocab = 17, .layers = stages + 1};
}

SmallRun even_run(const Schedule& schedule, const std::vector<int32_t>& lengths) {
  SmallRun run;
  run.model = narrow(schedule.stages.stages());
  run.lengths.assign(static_cast<size_t>(schedule.microbatches), lengths);
  return run;
}

struct Case {
  std::string name;
  int ranks = 2;
  int microbatches = 4;
  int chunks = 2, waves = 1;
};

Schedule make(const Case& c) {
  if (c.name != "text") {
    return schedule::generate(
        c.name,
        {.ranks = c.ranks, .microbatches = c.microbatches, .chunks = c.chunks, .waves = c.waves});
  }
  // Uneven chunks, and an order of nobody's.
  return schedule::parse(
      "schedule mine\n"
      "microbatches 3\n"
      "stages 0 1 1\n"
      "rank 0: F0 F1 F2 BW0 B1 B2 W2 W1\n"
      "rank 1: F1.0 F0.0 F0.1 BW0.1 F1.1 B0.0 W0.0 BW1.1 F2.0 F2.1 BW1.0 B2.1 B2.0 W2.0 W2.1\n");
}

void PrintTo(const Case& c, std::ostream* out) {
  *out << fmt::format("{}, {} ranks, {} microbatches, {} waves", c.name, c.ranks, c.microbatches,
                      c.waves);
}

class PipelineTest : public ::testing::TestWithParam<Case> {};

TEST_P(PipelineTest, EqualsOneProcessInDouble) {
  const Schedule schedule = make(GetParam());
  const SmallRun run = even_run(schedule, {3, 2});
  const auto found = testing::train_pipelined(run, schedule, Arithmetic::kDouble);
  expect_equal(found.trained, testing::train_in_double(run), 1e-10);
}

TEST_P(PipelineTest, EqualsOneProcessWithKernels) {
  const Schedule schedule = make(GetParam());
  const SmallRun run = even_run(schedule, {5, 4});
  const auto found = testing::train_pipelined(run, schedule, Arithmetic::kKernels);
  const TrainedResult wanted = testing::train_with_kernels(run);
  expect_equal(found.trained, wanted, 1e-5);
  // Of one replica microbatches are added in the order of one process, so to its bits.
  if (schedule.stages.replicas() == 1 && GetParam().name != "text") {
    EXPECT_EQ(found.trained.gradients, wanted.gradients);
    EXPECT_EQ(found.trained.losses[0], wanted.losses[0]);
    EXPECT_EQ(found.copies, 0);
  } else if (GetParam().name == "chimera") {
    EXPECT_EQ(found.copies, static_cast<int>(wanted.variables.size()));
  }
  EXPECT_TRUE(found.copies_equal);
}

// Activations one way, gradients the other: m b s h 4 bytes for each border between two ranks.
TEST_P(PipelineTest, SendsWhatCrossesBorders) {
  const Schedule schedule = make(GetParam());
  SmallRun run = even_run(schedule, {5, 4});
  run.steps = 2;
  const auto found = testing::train_pipelined(run, schedule, Arithmetic::kKernels);
  const schedule::StageMap& map = schedule.stages;
  int64_t borders = 0;  // summed over microbatches
  for (int replica = 0; replica < map.replicas(); ++replica) {
    const int microbatches = schedule.microbatches / map.replicas();
    for (int stage = 0; stage + 1 < map.stages(); ++stage) {
      if (map.rank(replica, stage) != map.rank(replica, stage + 1)) borders += microbatches;
    }
  }
  const int64_t activation = 9 * run.model.width * 4;
  int64_t bytes = 0, messages = 0;
  for (const comm::Traffic& sent : found.sent) {
    bytes += sent.bytes;
    messages += sent.messages;
  }
  EXPECT_EQ(bytes, run.steps * 2 * borders * activation);
  EXPECT_EQ(messages, run.steps * 2 * borders);
}

INSTANTIATE_TEST_SUITE_P(
    Schedules, PipelineTest,
    ::testing::Values(Case{"gpipe", 2}, Case{"gpipe", 4, 5}, Case{"1f1b", 2}, Case{"1f1b", 4, 6},
                      Case{"interleaved", 2}, Case{"interleaved", 4, 8}, Case{"zb-h1", 2},
                      Case{"zb-h1", 4, 6}, Case{"zb-h2", 2}, Case{"zb-h2", 4, 7}, Case{"zb-v", 2},
                      Case{"zb-v", 4, 7}, Case{"v-half", 2}, Case{"v-half", 4, 6}, Case{"v-min", 2},
                      Case{"v-min", 4, 6}, Case{"chimera", 2}, Case{"chimera", 4, 4},
                      Case{"hanayo", 2}, Case{"hanayo", 4, 4}, Case{"hanayo", 2, 4, 2, 2},
                      Case{"hanayo", 4, 4, 2, 2}, Case{"text", 2}),
    [](const auto& test) {
      const Case& c = test.param;
      std::string text = fmt::format("{}_{}_{}", c.name, c.ranks, c.waves);
      std::ranges::replace(text, '-', '_');
      return text;
    });

int64_t sent_bytes(const Schedule& schedule) {
  SmallRun run = even_run(schedule, {6});
  run.steps = 1;
  int64_t bytes = 0;
  for (const auto& sent : testing::train_pipelined(run, schedule, Arithmetic::kKernels).sent) {
    bytes += sent.bytes;
  }
  return bytes;
}

// PP5, PP12: against 1F1B an interleaved schedule of v chunks has v p - 1 borders instead of p - 1,
// a V twice p - 1.
TEST(PipelineBytes, GrowWithTheBorders) {
  const int64_t plain = sent_bytes(schedule::one_f_one_b(4, 8));
  EXPECT_EQ(plain, 8 * 2 * 3 * 6 * 8 * 4);
  EXPECT_EQ(sent_bytes(schedule::interleaved(4, 8, 2)) * 3, plain * 7);
  EXPECT_EQ(sent_bytes(schedule::zb_v(4, 8)), 2 * plain);
  EXPECT_EQ(sent_bytes(schedule::v_half(4, 8)), 2 * plain);
  EXPECT_EQ(sent_bytes(schedule::chimera(4, 8)), plain);
}

// An embedding that is also the head: its copies are on the first and the last stage, which are on
// two ranks, on one (zb-v), or, with two replicas, four copies on two ranks.
TEST(PipelineTied, CopiesStayOne) {
  for (const int ranks : {2, 4}) {
    for (const char* name : {"1f1b", "interleaved", "zb-h2", "zb-v", "chimera", "hanayo"}) {
      SCOPED_TRACE(fmt::format("{}, {} ranks", name, ranks));
      const Schedule schedule =
          schedule::generate(name, {.ranks = ranks, .microbatches = 2 * ranks});
      SmallRun run = even_run(schedule, {3, 2});
      run.model.tied = true;
      run.clip = 0.05;
      const auto exact = testing::train_pipelined(run, schedule, Arithmetic::kDouble);
      const TrainedResult wanted = testing::train_in_double(run);
      EXPECT_GT(wanted.norms[0], run.clip);
      expect_equal(exact.trained, wanted, 1e-10);
      const auto fast = testing::train_pipelined(run, schedule, Arithmetic::kKernels);
      expect_equal(fast.trained, testing::train_with_kernels(run), 1e-5);
      for (const auto& result : {exact, fast}) {
        EXPECT_TRUE(result.copies_equal);
        const int untied = static_cast<int>(wanted.variables.size()) - 3;
        EXPECT_EQ(result.copies, schedule.stages.replicas() == 2 ? untied + 9 : 3);
      }
    }
  }
}

// Microbatches of different sizes, one of which counts no token; layer norms, biases, dropout.
TEST(PipelineData, NeedsNoEvenMicrobatches) {
  for (const char* name : {"1f1b", "zb-h1", "v-min", "chimera"}) {
    SCOPED_TRACE(name);
    const Schedule schedule = schedule::generate(name, {.ranks = 2, .microbatches = 4});
    SmallRun run;
    run.model = narrow(schedule.stages.stages());
    run.model.layer_norm = true;
    run.model.dropout = 0.2;
    run.lengths = {{7, 1}, {2}, {3, 3, 3}, {11}};
    run.masked = 1;
    const auto exact = testing::train_pipelined(run, schedule, Arithmetic::kDouble);
    expect_equal(exact.trained, testing::train_in_double(run), 1e-10);
    const auto fast = testing::train_pipelined(run, schedule, Arithmetic::kKernels);
    expect_equal(fast.trained, testing::train_with_kernels(run), 1e-5);
  }
}

}  // namespace
}  // namespace ashlar::runtime
