// Evaluation and reports of what training left behind, and its configuration.
#include "ashlar/train/evaluate.h"

#include "ashlar/base/atomic_file.h"
#include "ashlar/base/config.h"
#include "ashlar/base/file.h"
#include "ashlar/train/report.h"
#include "ashlar/train/svg_chart.h"
#include "tests/base/messages.h"
#include "tests/train/tiny_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace ashlar::train {
namespace {

using ashlar::testing::error_of;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using namespace testing;  // NOLINT: tiny runs

TEST(EvaluateTest, AgreesWithValidationWhateverTheBatch) {
  const TinyRun tiny;
  TrainConfig config = tiny.config("run");
  config.valid.batches = 0;
  const TrainOutcome outcome = run(config);
  EvaluateOptions options;
  options.model = outcome.checkpoint;
  options.data.train = {tiny.path("valid.txt")};
  options.data.cache = tiny.path("cache");
  options.seq = config.train.seq;
  options.threads = 2;
  for (const int64_t batch : {1, 5}) {
    options.batch = batch;
    const Evaluation found = evaluate(options);
    EXPECT_NEAR(found.loss, *outcome.valid_loss, 1e-6);
    EXPECT_DOUBLE_EQ(found.perplexity, std::exp(found.loss));
    ASSERT_TRUE(found.bits_per_byte.has_value());
    EXPECT_EQ(found.text_bytes, file_size(tiny.path("valid.txt")));
    EXPECT_NEAR(*found.bits_per_byte,
                found.loss * static_cast<double>(found.tokens) / std::log(2.0) /
                    static_cast<double>(found.text_bytes),
                1e-9);
  }
  options.max_batches = 1;
  EXPECT_FALSE(evaluate(options).bits_per_byte.has_value());
}

// A short validation that looks at the beginning only would judge by the first document.
TEST(EvaluateTest, AFewBatchesAreSpreadOverTheData) {
  const TinyRun tiny;
  TrainConfig config = tiny.config("run");
  config.train.steps = 40;
  EvaluateOptions options;
  options.model = run(config).checkpoint;
  options.data.cache = tiny.path("cache");
  options.seq = 16;
  options.threads = 2;
  const auto loss = [&](const std::string& text, int64_t batches) {
    write_file(tiny.path("text.txt"), text);
    options.data.train = {tiny.path("text.txt")};
    options.max_batches = batches;
    return evaluate(options).loss;
  };
  const std::string known = read_file(tiny.path("valid.txt"));
  std::string strange;
  while (strange.size() < known.size()) strange += "}{QZ#";
  const double first = loss(known + strange, 1);
  EXPECT_NEAR(loss(known + strange, 2), (first + loss(strange, 0)) / 2, 0.3 * first);
  EXPECT_GT(loss(known + strange, 2), 1.2 * first);
}

size_t count(const std::string& text, std::string_view part) {
  size_t found = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++at) ++found;
  return found;
}

TEST(ReportTest, IsOnePageWithCurvesConfigurationAndMachine) {
  const TinyRun tiny;
  EXPECT_THAT(error_of([&] { report_html(tiny.path("nothing")); }), HasSubstr("metrics.jsonl"));
  run(tiny.config("run"));
  EXPECT_EQ(write_report(tiny.path("run")), tiny.path("run/report.html"));
  const std::string html = read_file(tiny.path("run/report.html"));
  for (const char* part : {"<title>run</title>", "validation", "gradient norm", "learning rate",
                           "tokens/s", "[train]", "revision"}) {
    EXPECT_THAT(html, HasSubstr(part));
  }
  EXPECT_EQ(count(html, "<polyline"), 7u);  // training and validation loss, and five more
  EXPECT_THAT(html, HasSubstr("memory: parameters"));
  // Nothing is fetched: no address, no file, no script that could.
  for (const char* part : {"http", "//", "src=", "href=", "url(", "@import", "<script"}) {
    EXPECT_THAT(html, Not(HasSubstr(part)));
  }
}

TEST(ReportTest, TheLossCurveIsAPictureOfItsOwn) {
  const TinyRun tiny;
  run(tiny.config("run"));
  const std::string path = tiny.path("loss.svg");
  EXPECT_EQ(write_report(tiny.path("run"), path), path);
  const std::string svg = read_file(path);
  EXPECT_THAT(svg, ::testing::StartsWith("<svg xmlns=\"http://www.w3.org/2000/svg\" width="));
  EXPECT_THAT(svg, HasSubstr("viewBox="));
  EXPECT_EQ(count(svg, "<polyline"), 2u);
  EXPECT_EQ(count(svg, "<svg"), 1u);
  EXPECT_THAT(svg, HasSubstr("style=\"fill: #dc6803\" text-anchor=\"end\">validation<"));
}

TEST(ReportTest, TicksCloseTogetherAreToldApart) {
  const std::string rate = svg_chart("lr", {{"lr", {{1, 3e-4}, {2, 2.998e-4}}}});
  for (const char* tick : {">0.0003<", ">0.00029995<", ">0.0002998<"}) {
    EXPECT_THAT(rate, HasSubstr(tick));
  }
  const std::string speed = svg_chart("speed", {{"tokens", {{1, 60'000}, {2, 60'200}}}});
  for (const char* tick : {">60000<", ">60050<", ">60200<"}) EXPECT_THAT(speed, HasSubstr(tick));
}

TEST(ReportTest, ChartsAreWholeAndTicksReachTheEnds) {
  const std::string svg = svg_chart("a < b", {{"one", {{1, 1e-4}, {2, 3e-4}}}, {"two", {}}});
  EXPECT_THAT(svg, HasSubstr(">a &lt; b</text>"));
  for (const char* tick : {">0.0001<", ">0.0002<", ">0.0003<", ">1<", ">2<"}) {
    EXPECT_THAT(svg, HasSubstr(tick));
  }
  EXPECT_EQ(count(svg, "<svg"), 1u);
  EXPECT_EQ(count(svg, "</svg>"), 1u);
  EXPECT_THAT(svg_chart("speed", {{"tokens", {{1, 60'000}, {2, 120'000}}}}), HasSubstr(">120k<"));
  EXPECT_THAT(svg_chart("from 0", {{"x", {{0, 1}, {5, 2}}}}),
              AllOf(HasSubstr(">0<"), Not(HasSubstr("-0"))));
  EXPECT_EQ(svg_chart("nothing", {{"none", {}}}), "");
}

TEST(ConfigTest, KeysAreReadPrintedAndChecked) {
  TrainConfig config;
  ConfigTable table(config);
  table.load_text("[train]\nsteps = 7\ndtype = \"bf16\"\ndecay = \"all\"\n", "config.toml");
  table.set("train.optimizer=muon");
  EXPECT_EQ(config.train.steps, 7);
  EXPECT_EQ(config.train.dtype, DType::kBF16);
  EXPECT_EQ(config.train.decay, Decay::kAll);
  EXPECT_EQ(config.train.optimizer, Optimizer::kMuon);
  TrainConfig again;
  ConfigTable(again).load_text(config.to_toml(), "again");
  EXPECT_EQ(again.to_toml(), config.to_toml());
  EXPECT_THAT(error_of([&] { table.set("train.step=7"); }), HasSubstr("train.steps"));

  config.data.train = {"x.txt"};
  config.train.batch = 8;
  config.train.microbatch = 3;
  EXPECT_THAT(error_of([&] { config.validate(); }), HasSubstr("train.batch"));
  config.train.microbatch = 4;
  config.train.warmup = 8;
  EXPECT_THAT(error_of([&] { config.validate(); }), HasSubstr("train.warmup"));
}

TEST(ConfigTest, ANewModelHasTheSizesAsked) {
  ModelSection model;
  model.family = "gpt2";
  model.width = 768;
  model.layers = 12;
  model.heads = 12;
  const models::DecoderConfig gpt2 = model.decoder(50257, 1024);
  EXPECT_EQ(models::parameter_count(gpt2), 124'439'808);  // as published
  model.heads = 7;
  EXPECT_THAT(error_of([&] { model.decoder(50257, 1024); }), HasSubstr("model.heads"));
  model.heads = 12;
  model.vocab = 100;
  EXPECT_THAT(error_of([&] { model.decoder(50257, 1024); }), HasSubstr("model.vocab"));
}

}  // namespace
}  // namespace ashlar::train
