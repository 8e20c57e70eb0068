// Where a plan says that activations lie is where the ranks' own graphs have them.
#include "ashlar/train/planned_values.h"

#include "ashlar/train/model_source.h"
#include "ashlar/train/training_step.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace ashlar::train {
namespace {

using passes::ContextParallel;

TrainConfig config_on(const MeshSection& mesh, const ParallelSection& parallel) {
  TrainConfig config;
  config.model.vocab = 64;
  config.model.width = 32;
  config.model.layers = 2;
  config.model.heads = 4;
  config.train.seq = 16;
  config.train.batch = 8;
  config.train.microbatch = 1;
  config.mesh = mesh;
  config.parallel = parallel;
  return config;
}

const PlannedValue& find(const std::vector<PlannedValue>& values, const std::string& name) {
  const auto found = std::ranges::find(values, name, &PlannedValue::name);
  EXPECT_NE(found, values.end()) << name;
  return *found;
}

int64_t elements_of(const std::vector<Part>& pieces) {
  int64_t sum = 0;
  for (const Part& piece : pieces) sum += elements(piece);
  return sum;
}

TEST(PlannedValues, AreAsLargeAsTheRanksHaveThem) {
  const std::vector<std::pair<MeshSection, ParallelSection>> layouts = {
      {{.data = 2}, {}},
      {{.tensor = 2}, {}},
      {{.tensor = 2}, {.sequence = true}},
      {{.data = 2, .tensor = 2}, {.zero = 3, .sequence = true}},
      {{.context = 2}, {}},
      {{.tensor = 2, .context = 2}, {.sequence = true, .context = ContextParallel::kZigzag}},
      {{.data = 2, .context = 2}, {.context = ContextParallel::kUlysses}}};
  for (const auto& [mesh, parallel] : layouts) {
    const TrainConfig config = config_on(mesh, parallel);
    const std::vector<PlannedValue> values = planned_activations(config);
    ASSERT_GT(values.size(), 20);
    const int ranks = Mesh::standard(config.mesh.sizes()).size();
    for (int rank = 0; rank < ranks; ++rank) {
      const StepSpec spec = step_spec(config, model_config(config), Ranks(config, rank));
      const passes::ShardedGraph sharded = build_sharded_graph(spec);
      const graph::Bindings bindings = largest_microbatch(spec);
      size_t i = 0;
      for (const graph::Node& node : sharded.graph.nodes()) {
        if (node.phase != graph::Phase::kForward) continue;
        for (const graph::ValueId output : node.outputs) {
          const graph::ValueInfo& value = sharded.graph.value(output);
          if (value.variable.valid() || !sharded.values.contains(output)) continue;
          ASSERT_LT(i, values.size());
          EXPECT_EQ(values[i].name, value.name);
          EXPECT_EQ(elements_of(values[i].parts[static_cast<size_t>(rank)]),
                    value.type.shape.bind(bindings).elements())
              << values[i].name << " " << values[i].placement << ", rank " << rank;
          ++i;
        }
      }
      EXPECT_EQ(i, values.size());
    }
  }
}

// SP2: norms have a share of the rows; they come together for a layer's splits, whose sum goes back
// to shares.
TEST(PlannedValues, SequenceParallelGathersAndScatters) {
  const auto values = planned_activations(config_on({.tensor = 2}, {.sequence = true}));
  const PlannedValue& norm = find(values, "layers.0.mlp_norm");
  EXPECT_EQ(norm.placement, "tensor=S(0)");
  EXPECT_EQ(norm.parts[1], (std::vector<Part>{{{8, 8}, {0, 32}}}));
  const PlannedValue& product = find(values, "layers.0.mlp.down");
  EXPECT_EQ(product.placement, "tensor=P");
  EXPECT_TRUE(product.term);
  int gathers = 0, scatters = 0;
  for (const PlannedValue& value : values) {
    if (!value.name.starts_with("layers.0.")) continue;
    gathers += value.op == "all_gather" && value.placement == "R" ? 1 : 0;
    scatters += value.op == "reduce_scatter" && value.placement == "tensor=S(0)" ? 1 : 0;
  }
  EXPECT_EQ(gathers, 2);
  EXPECT_EQ(scatters, 2);
}

// SP5: all rows of some heads around attention, some rows of all heads elsewhere.
TEST(PlannedValues, UlyssesSwapsRowsForHeads) {
  const auto values =
      planned_activations(config_on({.context = 2}, {.context = ContextParallel::kUlysses}));
  const PlannedValue& attention = find(values, "layers.0.attn.attend");
  EXPECT_EQ(attention.placement, "context=S(1)");
  EXPECT_EQ(attention.parts[1], (std::vector<Part>{{{0, 16}, {16, 16}}}));
  const auto swaps = std::ranges::count_if(values, [](const PlannedValue& value) {
    return value.op == "all_to_all" && value.name.starts_with("layers.0.");
  });
  EXPECT_EQ(swaps, 4);
}

TEST(PlannedValues, StagesHoldTheirLayers) {
  const auto values = planned_activations(config_on({.pipe = 2}, {}));
  const PlannedValue& first = find(values, "layers.0.mlp.down");
  EXPECT_FALSE(first.parts[0].empty());
  EXPECT_TRUE(first.parts[1].empty());
  EXPECT_TRUE(find(values, "layers.1.mlp.down").parts[0].empty());
}

}  // namespace
}  // namespace ashlar::train
