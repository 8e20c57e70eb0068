// The whole description of one-layer models as text, in tests/fixtures/graphs: a change of the
// model shows there as the change of its graph.
#include "ashlar/base/file.h"
#include "ashlar/models/decoder_graphs.h"
#include "ashlar/models/family.h"
#include "tests/base/paths.h"

#include <gtest/gtest.h>

namespace ashlar::models {
namespace {

std::string golden(const std::string& name) {
  return read_file(join_path(test_data("graphs"), name));
}

DecoderConfig small_llama() {
  return new_decoder("llama", {.vocab = 96,
                               .width = 32,
                               .layers = 1,
                               .heads = 4,
                               .max_positions = 64,
                               .kv_heads = 2,
                               .ffn = 80});
}

TEST(GraphText, LlamaTraining) {
  EXPECT_EQ(build_training(small_llama()).str(), golden("llama_training.txt"));
}

TEST(GraphText, Gpt2TrainingWithDropout) {
  DecoderConfig config =
      new_decoder("gpt2", {.vocab = 96, .width = 32, .layers = 1, .heads = 2, .max_positions = 64});
  config.embedding_dropout = 0.1;
  config.residual_dropout = 0.2;
  config.attention_dropout = 0.3;
  EXPECT_EQ(build_training(config).str(), golden("gpt2_training.txt"));
}

TEST(GraphText, LlamaServingInBf16) {
  DecoderConfig config = small_llama();
  config.tied_head = true;
  config.pattern = {{.window = 24}};
  const ServingSpec spec{.blocks = 6, .table_width = 3, .pool = DType::kBF16};
  const DecoderOptions options{
      .weights = DType::kBF16, .activations = DType::kBF16, .max_positions = 48};
  EXPECT_EQ(build_serving(config, spec, options).str(), golden("llama_serving.txt"));
}

// What writes to the residual stream starts smaller, as in GPT-2; all else alike.
TEST(GraphText, Init) {
  const DecoderConfig config =
      new_decoder("gpt2", {.vocab = 96, .width = 32, .layers = 8, .heads = 2, .max_positions = 64});
  const graph::Graph graph = build_training(config);
  using Kind = graph::Init::Kind;
  const auto init = [&](const char* name) {
    return graph.variable(*graph.find_variable(name)).init;
  };
  EXPECT_EQ(init("layers.3.attn.q.weight").kind, Kind::kNormal);
  EXPECT_FLOAT_EQ(init("layers.3.attn.q.weight").std, 0.02f);
  EXPECT_FLOAT_EQ(init("layers.3.attn.o.weight").std, 0.02f / 4);
  EXPECT_FLOAT_EQ(init("layers.3.mlp.down.weight").std, 0.02f / 4);
  EXPECT_FLOAT_EQ(init("positions.weight").std, 0.02f);
  EXPECT_EQ(init("layers.3.attn_norm.weight").kind, Kind::kOnes);
  EXPECT_EQ(init("layers.3.attn.q.bias").kind, Kind::kZeros);
}

}  // namespace
}  // namespace ashlar::models
