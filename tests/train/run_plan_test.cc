// What the plan says of a run is what the run takes, to the byte: memory by parts, traffic by axis.
#include "ashlar/train/run_plan.h"

#include "ashlar/base/file.h"
#include "ashlar/comm/thread_ranks.h"
#include "tests/base/messages.h"
#include "tests/train/tiny_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <mutex>

namespace ashlar::train {
namespace {

using ::ashlar::testing::error_of;
using ::testing::HasSubstr;

struct Case {
  const char* name;
  MeshSection mesh = {};
  ParallelSection parallel = {};
  DType dtype = DType::kF32;
  const char* family = "llama";
  passes::Recompute recompute = passes::Recompute::kNone;
  int64_t experts = 0;
  DType grad_dtype = DType::kF32;
  int64_t node_ranks = 0;
};

class RunPlanTest : public ::testing::TestWithParam<Case> {
 protected:
  TrainConfig config(const Case& c) const {
    TrainConfig config = tiny_.config(c.name);
    config.model.family = c.family;
    config.model.heads = config.model.kv_heads = 4;
    config.mesh = c.mesh;
    config.parallel = c.parallel;
    config.comm.node_ranks = c.node_ranks;
    config.model.experts = c.experts;
    if (c.mesh.pipe > 1) config.model.layers = 4;
    config.recompute = c.recompute;
    config.train.dtype = c.dtype;
    config.train.grad_dtype = c.grad_dtype;
    config.train.batch = 8;
    config.train.microbatch = 1;
    config.train.steps = 3;
    config.train.warmup = 0;
    config.valid.every = 100;
    config.checkpoint.every = 0;
    return config;
  }
  static RunPlan plan(const TrainConfig& config) {
    return plan_run(config, kernels::kernel_table(best_isa_tier()));
  }

  testing::TinyRun tiny_;
};

// What a rank of a run really took.
struct Taken {
  int64_t planned_bytes = 0;  // as its Variables, arenas and buffers add up
  plan::SentByAxis sent;      // in the second step
};

plan::SentByAxis sent_so_far(const comm::Communicator& comm) {
  plan::SentByAxis sent;
  for (const auto& [key, traffic] : comm.counters().entries()) {
    if (key.first.starts_with("world")) continue;  // a few numbers of the trainer's own
    sent[key.first] += plan::Sent{traffic.bytes, traffic.messages};
  }
  return sent;
}

std::vector<Taken> run_ranks_of(const TrainConfig& config) {
  const int ranks = Mesh::standard(config.mesh.sizes()).size();
  std::vector<Taken> taken(static_cast<size_t>(ranks));
  comm::run_ranks(ranks, [&](comm::Communicator& comm) {
    Taken& mine = taken[static_cast<size_t>(comm.rank())];
    plan::SentByAxis before;
    TrainHooks hooks = testing::quiet();
    hooks.on_step = [&](const StepMetrics& metrics) {
      if (metrics.step == 1) before = sent_so_far(comm);
      if (metrics.step != 2) return;
      for (const auto& [axis, sent] : sent_so_far(comm)) {
        const plan::Sent delta{sent.bytes - before[axis].bytes,
                               sent.messages - before[axis].messages};
        if (delta.messages > 0) mine.sent[axis] = delta;
      }
    };
    mine.planned_bytes = train(config, hooks, ranks > 1 ? &comm : nullptr).planned_bytes;
  });
  return taken;
}

std::string text_of(const plan::SentByAxis& sent) {
  std::string text;
  for (const auto& [axis, one] : sent) {
    text += fmt::format("{}: {} bytes, {} messages; ", axis, one.bytes, one.messages);
  }
  return text;
}

TEST_P(RunPlanTest, IsWhatTheRunTakes) {
  const TrainConfig config = this->config(GetParam());
  const RunPlan planned = plan(config);
  std::vector<Taken> taken = run_ranks_of(config);
  ASSERT_EQ(planned.ranks.size(), taken.size());
  for (size_t rank = 0; rank < taken.size(); ++rank) {
    EXPECT_EQ(planned.ranks[rank].memory.total(), taken[rank].planned_bytes) << "rank " << rank;
    plan::SentByAxis sent = planned.ranks[rank].step.sent;
    std::erase_if(sent, [](const auto& axis) { return axis.second.messages == 0; });
    if (GetParam().experts > 0) {  // how many rows leave is what the router decides
      EXPECT_NEAR(static_cast<double>(sent["expert"].bytes),
                  static_cast<double>(taken[rank].sent["expert"].bytes),
                  0.5 * static_cast<double>(sent["expert"].bytes));
      taken[rank].sent["expert"] = sent["expert"];
    }
    EXPECT_EQ(text_of(sent), text_of(taken[rank].sent)) << "rank " << rank;
  }

  const auto record = nlohmann::json::parse(read_file(join_path(config.run.dir, "record.jsonl")));
  nlohmann::json memory;
  for (const auto& [part, bytes] : planned.ranks[0].memory.parts()) memory[part] = bytes;
  EXPECT_EQ(memory, record["memory"]);
}

INSTANTIATE_TEST_SUITE_P(
    Layouts, RunPlanTest,
    ::testing::Values(
        Case{"one"}, Case{"gpt2", {}, {}, DType::kF32, "gpt2"},
        Case{"bf16", {}, {}, DType::kBF16, "llama", passes::Recompute::kFull},
        Case{"data2", {.data = 2}}, Case{"zero1", {.data = 4}, {.zero = 1}},
        Case{"zero2", {.data = 2}, {.zero = 2}, DType::kBF16},
        Case{.name = "gradients_bf16",
             .mesh = {.data = 2},
             .parallel = {.zero = 2},
             .dtype = DType::kBF16,
             .grad_dtype = DType::kBF16},
        Case{.name = "pipe_gradients_bf16",
             .mesh = {.data = 2, .pipe = 2},
             .parallel = {.zero = 1, .schedule = "chimera"},
             .dtype = DType::kBF16,
             .family = "gpt2",
             .grad_dtype = DType::kBF16},
        Case{.name = "nodes", .mesh = {.data = 4}, .node_ranks = 2},
        Case{.name = "pipe_nodes",
             .mesh = {.data = 4, .pipe = 2},
             .family = "gpt2",
             .node_ranks = 2},
        Case{"zero3", {.data = 4}, {.zero = 3}}, Case{"tensor2", {.tensor = 2}},
        Case{"gpt2_tensor4", {.tensor = 4}, {}, DType::kF32, "gpt2"},
        Case{"sequence", {.tensor = 2}, {.sequence = true}}, Case{"ring", {.context = 2}},
        Case{"zigzag", {.context = 3}, {.context = passes::ContextParallel::kZigzag}},
        Case{"ulysses", {.context = 2}, {.context = passes::ContextParallel::kUlysses}},
        Case{"mixed", {.data = 2, .tensor = 2, .context = 2}, {.zero = 3, .sequence = true}},
        Case{"expert", {.expert = 2}, {}, DType::kF32, "mixtral", passes::Recompute::kNone, 4},
        Case{"pipe", {.pipe = 2}}, Case{"tied", {.pipe = 4}, {}, DType::kF32, "gpt2"},
        Case{"pipe_bf16", {.pipe = 2}, {.schedule = "zb-h1"}, DType::kBF16},
        Case{"zb_v", {.pipe = 2}, {.zero = 1, .schedule = "zb-v"}, DType::kF32, "gpt2"},
        Case{"optimistic", {.pipe = 2}, {.schedule = "zb-h2", .optimistic = true}},
        Case{"chimera", {.data = 2, .pipe = 2}, {.zero = 1, .schedule = "chimera"}},
        Case{"two_two_two", {.data = 2, .tensor = 2, .pipe = 2}, {.sequence = true}}),
    [](const auto& layout) { return std::string(layout.param.name); });

TEST_F(RunPlanTest, SplitsWhatTheAxesSplit) {
  const RunPlan one = plan(config({"one"}));
  const RunPlan zero = plan(config({"zero", {.data = 4}, {.zero = 1}}));
  const int64_t moments = one.ranks[0].memory.bytes("optimizers");
  int64_t sum = 0;
  for (const RankPlan& rank : zero.ranks) sum += rank.memory.bytes("optimizers");
  EXPECT_EQ(sum, moments);
  EXPECT_EQ(zero.ranks[0].memory.bytes("parameters"), one.ranks[0].memory.bytes("parameters"));
  const RunPlan tensor = plan(config({"tensor", {.tensor = 2}}));
  EXPECT_LT(tensor.ranks[0].memory.bytes("parameters"),
            one.ranks[0].memory.bytes("parameters") * 6 / 10);
  EXPECT_NEAR(tensor.ranks[0].step.flops, one.ranks[0].step.flops / 2,
              0.01 * one.ranks[0].step.flops);
}

// CT1: of two nodes of two ranks each, 2(n-1)/n of half of the gradients cross; else 2(p-1)/p of
// all.
TEST_F(RunPlanTest, SumsInTwoLevelsSendLessAcrossNodes) {
  const auto sent = [&](int64_t node_ranks) {
    const Case nodes{.name = "nodes", .mesh = {.data = 4}, .node_ranks = node_ranks};
    return plan(config(nodes)).ranks[0].step.sent;
  };
  const plan::SentByAxis flat = sent(0), two = sent(2);
  EXPECT_NEAR(static_cast<double>(two.at("data").bytes),
              static_cast<double>(flat.at("data").bytes) / 3,
              1e-3 * static_cast<double>(flat.at("data").bytes));
  EXPECT_EQ(two.count("data in a node"), 1);
  EXPECT_THAT(error_of([&] { sent(3); }),
              HasSubstr("config comm.node_ranks: 3 does not divide the mesh's 4 ranks"));
}

// CT1 in time: on slow links between nodes, machines of their own, a step with sums in two levels
// takes less than with sums in one.
TEST_F(RunPlanTest, SumsInTwoLevelsTakeLessTimeAcrossNodes) {
  plan::PricedNetwork network{{2, {0, 1e10}, {1e-5, 1e6}}};
  plan::Pricing pricing{.rates = {.message_bytes = 1e10}};
  pricing.network = &network;
  TrainConfig nodes = config({.name = "nodes", .mesh = {.data = 4}, .node_ranks = 2});
  nodes.train.microbatch = 2;
  const kernels::KernelTable& table = kernels::kernel_table(best_isa_tier());
  const RunPlan planned = plan_run(nodes, table, pricing);
  EXPECT_EQ(planned.machines, 2);
  EXPECT_LT(planned.step_seconds(), 0.8 * planned.one_level_seconds);
  // Nearly all of it is the gradients' 2 (n-1)/n over a node's link, 2 (p-1)/p of what a ring has.
  const double gradients = 4 * static_cast<double>(planned.parameters);
  EXPECT_NEAR(planned.step_seconds(), gradients / 1e6, 0.1 * gradients / 1e6);
  nodes.comm.node_ranks = 0;
  EXPECT_EQ(plan_run(nodes, table, {.rates = pricing.rates}).machines, 1);
}

// ZeRO-2 in a pipeline: the head's term, made with its loss, leaves then, and takes no room in the
// slots of microbatches that wait for backward.
TEST_F(RunPlanTest, TermsOfTheHeadTakeNoSlots) {
  const auto slot = [&](int64_t zero) {
    const auto activations = [&](int64_t batch) {
      TrainConfig tied = config({.name = "tied",
                                 .mesh = {.data = 2, .pipe = 2},
                                 .parallel = {.zero = zero, .schedule = "gpipe"},
                                 .family = "gpt2"});
      tied.train.batch = batch;
      return plan(tied).ranks[3].memory.bytes("activations");
    };
    return activations(16) - activations(8);
  };
  EXPECT_GT(slot(1), 0);
  EXPECT_EQ(slot(2), slot(1));
  EXPECT_EQ(slot(3), slot(1));
}

// Summed in two levels, training goes as in one, but for the order of sums.
TEST_F(RunPlanTest, SumsInTwoLevelsTrainAlike) {
  const auto losses = [&](int64_t node_ranks) {
    TrainConfig nodes = config({.name = node_ranks > 0 ? "two_levels" : "flat",
                                .mesh = {.data = 4},
                                .node_ranks = node_ranks});
    std::vector<double> found;
    comm::run_ranks(4, [&](comm::Communicator& comm) {
      TrainHooks hooks = testing::quiet();
      hooks.on_step = [&](const StepMetrics& metrics) {
        if (comm.rank() == 0) found.push_back(metrics.loss);
      };
      train(nodes, hooks, &comm);
    });
    return found;
  };
  const std::vector<double> flat = losses(0), two = losses(2);
  ASSERT_EQ(two.size(), 3);
  for (size_t i = 0; i < two.size(); ++i) EXPECT_NEAR(two[i], flat[i], 1e-5 * flat[i]);
}

// DP5: half as many bytes again as data parallelism, less what a plan says is gathered but once.
TEST_F(RunPlanTest, NamesWhatIsGatheredOnce) {
  const auto planned = [&](int64_t zero) {
    TrainConfig once = config({"once", {.data = 4}, {.zero = zero}});
    once.train.microbatch = 0;  // all rows at once
    return plan(once);
  };
  int64_t whole = 0, sharded = 0, once = 0;
  for (const RankPlan& rank : planned(0).ranks) {
    whole += rank.step.sent.at("data").bytes;
    EXPECT_EQ(rank.gathered_once, 0);
  }
  for (const RankPlan& rank : planned(3).ranks) {
    sharded += rank.step.sent.at("data").bytes;
    once += rank.gathered_once;
  }
  const int64_t norm = 2 * 3 * static_cast<int64_t>(sizeof(double));
  EXPECT_GT(once, 0);
  EXPECT_EQ(2 * (sharded - norm), 3 * whole - 2 * once);
}

// Data ranks have rows of their own, context ranks pieces of each.
TEST_F(RunPlanTest, TokensLieAsTheyAreDealt) {
  const auto tokens = [&](const MeshSection& mesh, passes::ContextParallel context) {
    const RunPlan planned = plan(config({"tokens", mesh, {.context = context}}));
    EXPECT_EQ(planned.variables[0].name, "tokens");
    return planned.variables[0].parts;
  };
  using Pieces = std::vector<std::vector<Part>>;
  EXPECT_EQ(tokens({.data = 2}, passes::ContextParallel::kRing),
            (Pieces{{{{0, 4}, {0, 16}}}, {{{4, 4}, {0, 16}}}}));
  EXPECT_EQ(tokens({.context = 2}, passes::ContextParallel::kZigzag),
            (Pieces{{{{0, 8}, {0, 4}}, {{0, 8}, {12, 4}}}, {{{0, 8}, {4, 4}}, {{0, 8}, {8, 4}}}}));
}

// Half the rates, twice the time.
TEST_F(RunPlanTest, TimeFollowsTheRates) {
  const TrainConfig two = config({"rates", {.data = 2}});
  const kernels::KernelTable& table = kernels::kernel_table(best_isa_tier());
  const plan::MachineRates fast{1e11, 1e11, 1e10, 1e9, 1e-5}, slow{5e10, 5e10, 5e9, 5e8, 2e-5};
  const double seconds = plan_run(two, table, {fast}).step_seconds();
  EXPECT_GT(seconds, 0);
  EXPECT_NEAR(plan_run(two, table, {slow}).step_seconds(), 2 * seconds, 1e-9 * seconds);
}

// A model of a size that this machine could not hold.
TEST_F(RunPlanTest, NothingOfTheModelsSizeIsAllocated) {
  TrainConfig large;
  large.model.vocab = 128000;
  large.model.width = 16384;
  large.model.layers = 8;
  large.model.heads = 128;
  large.model.kv_heads = 8;
  large.mesh = {.data = 2, .tensor = 4};
  large.parallel.zero = 3;
  large.train.batch = 16;
  large.train.microbatch = 1;
  large.train.seq = 4096;
  const RunPlan planned = plan(large);
  EXPECT_GT(planned.parameters, int64_t{20'000'000'000});
  int64_t bytes = 0;
  for (const RankPlan& rank : planned.ranks) bytes += rank.memory.total();
  EXPECT_GT(bytes, 16 * planned.parameters);
}

TEST_F(RunPlanTest, RefusesWhatTrainingRefuses) {
  EXPECT_THAT(error_of([&] {
                plan(config({"seven", {.tensor = 3}}));
              }),
              HasSubstr("config mesh.tensor: 3 ranks do not divide 4 query heads"));
  TrainConfig uneven = config({"uneven", {.data = 3}});
  EXPECT_THAT(error_of([&] { plan(uneven); }), HasSubstr("the nearest that does is"));
}

}  // namespace
}  // namespace ashlar::train
