// A step as it ran: what the profiler saw is put back into the instructions of the schedule.
#include "ashlar/train/step_timeline.h"

#include "ashlar/base/file.h"
#include "ashlar/comm/thread_ranks.h"
#include "ashlar/schedule/play.h"
#include "ashlar/train/pipeline_schedule.h"
#include "ashlar/train/report.h"
#include "tests/train/tiny_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ashlar::train {
namespace {

using ::testing::HasSubstr;

TrainConfig short_config(const testing::TinyRun& tiny, const std::string& name) {
  TrainConfig config = tiny.config(name);
  config.model.layers = 4;
  config.train.steps = 2;
  config.train.batch = 8;
  config.valid.every = 0;
  return config;
}

schedule::InstructionList compute_of(const schedule::InstructionList& list) {
  schedule::InstructionList result;
  for (const schedule::Instruction& each : list) {
    if (schedule::is_compute(each.kind)) result.push_back(each);
  }
  return result;
}

TEST(StepTimeline, OneRankRunsItsMicrobatchesInOrder) {
  const testing::TinyRun tiny;
  const TrainConfig config = short_config(tiny, "one");
  testing::run(config);
  const MeasuredStep measured = read_timeline(join_path(config.run.dir, "timeline.json"));
  EXPECT_EQ(measured.step, 2);
  ASSERT_EQ(measured.timeline.ranks.size(), 1);
  schedule::InstructionList found;
  double before = 0;
  for (const schedule::Span& span : measured.timeline.ranks[0].spans) {
    EXPECT_GE(span.start, before);
    EXPECT_GE(span.end, span.start);
    before = span.end;
    found.push_back(span.instruction);
  }
  ASSERT_FALSE(found.empty());
  EXPECT_EQ(found.back().kind, schedule::Kind::kStep);
  found.pop_back();
  schedule::InstructionList wanted;
  for (int k = 0; k < 4; ++k) {
    wanted.push_back(schedule::forward(k));
    wanted.push_back(schedule::backward(k));
  }
  EXPECT_EQ(found, wanted);
  EXPECT_THAT(report_html(config.run.dir), HasSubstr("A step"));
}

// In a pipeline each rank's bars are the instructions of its list, B and W apart.
TEST(StepTimeline, PipelineRanksRunTheirLists) {
  for (const char* name : {"1f1b", "zb-h1", "zb-v"}) {
    const testing::TinyRun tiny;
    TrainConfig config = short_config(tiny, name);
    config.mesh.pipe = 2;
    config.parallel.schedule = name;
    comm::run_ranks(2, [&](comm::Communicator& comm) { train(config, testing::quiet(), &comm); });
    const MeasuredStep measured = read_timeline(join_path(config.run.dir, "timeline.json"));
    const schedule::Schedule schedule = pipeline_schedule(config);
    ASSERT_EQ(measured.timeline.ranks.size(), 2);
    for (size_t rank = 0; rank < 2; ++rank) {
      schedule::InstructionList found;
      for (const schedule::Span& span : measured.timeline.ranks[rank].spans) {
        if (schedule::is_compute(span.instruction.kind)) found.push_back(span.instruction);
      }
      EXPECT_EQ(found, compute_of(schedule.ranks[rank])) << name << ", rank " << rank;
      const auto played = schedule::play(schedule, schedule::uniform_costs(schedule));
      EXPECT_EQ(measured.timeline.ranks[rank].peak_microbatches,
                played.ranks[rank].peak_microbatches)
          << name << ", rank " << rank;
    }
  }
}

// Sums of gradients have bars of their own beside backward, and what ops waited for other ranks is
// not counted as work.
TEST(StepTimeline, ShowsSumsAndWaits) {
  const testing::TinyRun tiny;
  TrainConfig config = short_config(tiny, "sums");
  config.mesh.data = 2;
  config.mesh.tensor = 2;
  config.model.kv_heads = 2;
  config.run.profile.clear();
  comm::run_ranks(4, [&](comm::Communicator& comm) { train(config, testing::quiet(), &comm); });
  const MeasuredStep measured = read_timeline(join_path(config.run.dir, "timeline.json"));
  ASSERT_EQ(measured.timeline.ranks.size(), 4);
  size_t waits = 0;
  for (const schedule::RankTimeline& rank : measured.timeline.ranks) {
    double spans = 0;
    int sums = 0;
    for (const schedule::Span& span : rank.spans) {
      if (schedule::is_compute(span.instruction.kind)) spans += span.end - span.start;
      if (span.instruction.kind != schedule::Kind::kReduce) continue;
      EXPECT_GE(span.end, span.start);
      ++sums;
    }
    EXPECT_GT(sums, 0);
    EXPECT_LE(rank.busy, spans);
    EXPECT_GT(rank.busy, 0);
    waits += rank.waits.size();
  }
  EXPECT_GT(waits, 0u);
  const std::string html = report_html(config.run.dir);
  EXPECT_THAT(html, HasSubstr("sum of gradients"));
  EXPECT_THAT(html, HasSubstr("waiting for other ranks"));
}

}  // namespace
}  // namespace ashlar::train
