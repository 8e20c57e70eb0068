#include "ashlar/bundle/load_weights.h"

#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/bundle/bundle.h"
#include "ashlar/mesh/part.h"
#include "ashlar/models/decoder_graphs.h"
#include "tests/base/messages.h"
#include "tests/base/temp_dir.h"
#include "tests/bundle/cut_variables.h"
#include "tests/bundle/model_files.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace ashlar::testing {
namespace {

using bundle::Bundle;
using bundle::Storage;

Tensors load(const std::string& folder, Storage storage = Storage::kOwn,
             const models::DecoderOptions& options = {}) {
  const Bundle model = Bundle::open(folder);
  const graph::Graph graph = models::build_logits(model.config(), options);
  Tensors parameters;
  bundle::load_weights(
      model.open_weights(), model.config(), graph, storage, "m",
      [&](const std::string& name, Tensor tensor) { parameters[name] = std::move(tensor); });
  return parameters;
}

std::string config_of(const std::string& name) {
  return read_file(model_folder(name) + "/config.json");
}

// The message for the fixture with its tensors changed.
template <typename F>
std::string error_after(const std::string& name, F&& change) {
  const TempDir folder;
  Tensors tensors = read_tensors(model_folder(name));
  change(tensors);
  write_model(folder.path(), config_of(name), tensors);
  return error_of([&] { load(folder.path()); });
}

TEST(LoadWeights, Llama) {
  const Tensors file = read_tensors(model_folder("llama")), loaded = load(model_folder("llama"));
  EXPECT_EQ(loaded.size(), file.size());
  EXPECT_TRUE(same_bytes(loaded.at("embed.weight"), file.at("model.embed_tokens.weight")));
  EXPECT_TRUE(same_bytes(loaded.at("layers.1.mlp.gate.weight"),
                         file.at("model.layers.1.mlp.gate_proj.weight")));
  EXPECT_TRUE(same_bytes(loaded.at("head.weight"), file.at("lm_head.weight")));
}

// c_attn [inputs, 3 x outputs]: column 64 + j holds row j of the key weight.
TEST(LoadWeights, Gpt2SplitsAndTransposes) {
  const Tensors file = read_tensors(model_folder("gpt2")), loaded = load(model_folder("gpt2"));
  const auto theirs = file.at("transformer.h.1.attn.c_attn.weight").span<float>();
  const auto bias = file.at("transformer.h.1.attn.c_attn.bias").span<float>();
  const char* names[] = {"q", "k", "v"};
  for (size_t part = 0; part < 3; ++part) {
    const std::string name = std::string("layers.1.attn.") + names[part];
    const Tensor& weight = loaded.at(name + ".weight");
    ASSERT_EQ(weight.shape(), (Shape{64, 64}));
    for (size_t output = 0; output < 64; ++output) {
      for (size_t input = 0; input < 64; ++input) {
        ASSERT_EQ(weight.span<float>()[output * 64 + input],
                  theirs[input * 192 + part * 64 + output]);
      }
      ASSERT_EQ(loaded.at(name + ".bias").span<float>()[output], bias[part * 64 + output]);
    }
  }
}

TEST(LoadWeights, MapsWhatItNeedNotChange) {
  const Bundle model = Bundle::open(model_folder("llama"));
  const auto file = model.open_weights();
  const graph::Graph graph = models::build_logits(model.config());
  const auto places = [&](Storage storage) {
    std::map<std::string, const std::byte*> result;
    bundle::load_weights(file, model.config(), graph, storage, "m",
                         [&](const std::string& name, Tensor t) { result[name] = t.data(); });
    return result;
  };
  const std::byte* mapped = file.tensor("model.layers.0.mlp.up_proj.weight").data();
  EXPECT_EQ(places(Storage::kMapped).at("layers.0.mlp.up.weight"), mapped);
  EXPECT_NE(places(Storage::kOwn).at("layers.0.mlp.up.weight"), mapped);
}

TEST(LoadWeights, ConvertsToTheGraphsDtypes) {
  const Tensors f32 = load(model_folder("llama"));
  const Tensors bf16 = load(model_folder("llama"), Storage::kMapped, {.weights = DType::kBF16});
  EXPECT_TRUE(same_bytes(bf16.at("layers.0.attn.q.weight"),
                         f32.at("layers.0.attn.q.weight").to(DType::kBF16)));
  EXPECT_TRUE(
      same_bytes(bf16.at("layers.0.attn_norm.weight"), f32.at("layers.0.attn_norm.weight")));

  const TempDir folder;
  Tensors half = read_tensors(model_folder("llama"));
  for (auto& [name, tensor] : half) tensor = tensor.to(DType::kF16);
  write_model(folder.path(), config_of("llama"), half);
  const Tensors widened = load(folder.path());
  EXPECT_TRUE(
      same_bytes(widened.at("final_norm.weight"), half.at("model.norm.weight").to(DType::kF32)));
}

// Threads that convert side by side give what one gives, experts' matrices too; what `put` throws
// ends it.
TEST(LoadWeights, BySeveralThreads) {
  ThreadPool pool(3);
  for (const char* name : {"gpt2", "mixtral", "deepseek_v2"}) {
    const Bundle model = Bundle::open(model_folder(name));
    const auto file = model.open_weights();
    const graph::Graph graph = models::build_logits(model.config(), {.weights = DType::kBF16});
    const Tensors wanted = load(model_folder(name), Storage::kMapped, {.weights = DType::kBF16});
    Tensors found;
    bundle::load_weights(
        file, model.config(), graph, Storage::kMapped, "m",
        [&](const std::string& parameter, Tensor tensor) {
          EXPECT_FALSE(found.contains(parameter));
          found[parameter] = std::move(tensor);
        },
        &pool);
    ASSERT_EQ(found.size(), wanted.size());
    for (const auto& [parameter, tensor] : wanted) {
      EXPECT_TRUE(same_bytes(found.at(parameter), tensor)) << parameter << " of " << name;
    }
    int calls = 0;
    const auto stop = [&](const std::string&, const Tensor&) {
      if (++calls == 3) throw Error("enough");
    };
    EXPECT_EQ(error_of([&] {
                bundle::load_weights(file, model.config(), graph, Storage::kMapped, "m", stop,
                                     &pool);
              }),
              "enough");
    EXPECT_EQ(calls, 3);
  }
}

// Ranks that split every dim, unevenly too, read their parts and nothing else.
TEST(LoadWeights, ReadsTheParts) {
  for (const char* name : {"gpt2", "llama"}) {
    const Tensors wholes = load(model_folder(name));
    const Bundle model = Bundle::open(model_folder(name));
    const graph::Graph graph = models::build_logits(model.config());
    for (const int dim : {0, 1}) {
      const Mesh mesh({{"tensor", 3}});
      int64_t bytes = 0, held = 0;
      Tensors joined;
      for (int rank = 0; rank < 3; ++rank) {
        const graph::Graph cut =
            cut_variables(graph, mesh, rank, [&](const graph::Variable& variable) {
              const int split = std::min(dim, variable.shape.rank() - 1);
              return Placement::replicated(mesh).with(mesh, "tensor", AxisPlacement::split(split));
            });
        bytes += bundle::load_weights(
            model.open_weights(), model.config(), cut, Storage::kOwn, "m",
            [&](const std::string& parameter, Tensor tensor) {
              const graph::Variable& variable = cut.variable(*cut.find_variable(parameter));
              ASSERT_EQ(tensor.shape(), variable.shape) << parameter;
              held += static_cast<int64_t>(tensor.bytes());
              Tensor& whole = joined[parameter];
              if (whole.empty()) whole = Tensor(tensor.dtype(), variable.whole);
              copy_overlap(variable.part, tensor.data(), whole_part(whole.shape().dims()),
                           whole.data(), size_of(whole.dtype()));
            });
      }
      EXPECT_EQ(bytes, held);  // the fixtures are f32, as the graph is
      ASSERT_EQ(joined.size(), wholes.size());
      for (const auto& [parameter, tensor] : wholes) {
        EXPECT_TRUE(same_bytes(joined.at(parameter), tensor)) << parameter << " of " << name;
      }
    }
  }
}

// A stage of a pipeline has the parameters of its layers.
TEST(LoadWeights, ReadsWhatTheGraphHas) {
  const Bundle model = Bundle::open(model_folder("gpt2"));
  const Mesh mesh({{"pipe", 2}});
  const graph::Graph stage =
      cut_variables(models::build_logits(model.config()), mesh, 1,
                    [&](const graph::Variable& variable) -> std::optional<Placement> {
                      if (!variable.name.starts_with("layers.1.")) return std::nullopt;
                      return Placement::replicated(mesh);
                    });
  Tensors loaded;
  bundle::load_weights(model.open_weights(), model.config(), stage, Storage::kOwn, "m",
                       [&](const std::string& name, Tensor tensor) { loaded[name] = tensor; });
  const Tensors wholes = load(model_folder("gpt2"));
  EXPECT_EQ(loaded.size(), stage.variables().size());
  for (const auto& [name, tensor] : loaded) EXPECT_TRUE(same_bytes(tensor, wholes.at(name)));
}

// Bare names, causal masks and the copy of a tied head are what older files hold.
TEST(LoadWeights, AcceptsBaseModelFilesWithBuffers) {
  const TempDir folder;
  Tensors bare;
  for (const auto& [name, tensor] : read_tensors(model_folder("gpt2"))) {
    bare[name.substr(std::string("transformer.").size())] = tensor;
  }
  bare["h.0.attn.bias"] = Tensor(DType::kU8, {1, 1, 256, 256});
  bare["h.0.attn.masked_bias"] = Tensor(DType::kF32, {});
  bare["lm_head.weight"] = bare.at("wte.weight");
  write_model(folder.path(), config_of("gpt2"), bare);
  const Tensors loaded = load(folder.path()), wanted = load(model_folder("gpt2"));
  ASSERT_EQ(loaded.size(), wanted.size());
  for (const auto& [name, tensor] : wanted)
    EXPECT_TRUE(same_bytes(loaded.at(name), tensor)) << name;
}

std::string mismatch(const std::string& faults) {
  return fmt::format("model m: the weights do not match config.json: {}", faults);
}

TEST(LoadWeights, NamesAMissingTensor) {
  EXPECT_EQ(error_after("gpt2", [](Tensors& t) { t.erase("transformer.h.1.ln_2.weight"); }),
            mismatch("tensor 'transformer.h.1.ln_2.weight' [64] is missing"));
}

TEST(LoadWeights, NamesATensorLeftOver) {
  const auto add = [](Tensors& t) { t["score.weight"] = Tensor(DType::kF32, {2, 64}); };
  EXPECT_EQ(error_after("llama", add),
            mismatch("tensor 'score.weight' [2, 64] belongs to no parameter"));
}

TEST(LoadWeights, NamesBothShapes) {
  const auto change = [](Tensors& t) {
    t["transformer.h.0.attn.c_attn.weight"] = Tensor(DType::kF32, {64, 128});
  };
  EXPECT_EQ(error_after("gpt2", change),
            mismatch("tensor 'transformer.h.0.attn.c_attn.weight' has shape [64, 128], config.json "
                     "wants [64, 192]"));
}

TEST(LoadWeights, NamesADtypeThatHoldsNoWeights) {
  const auto change = [](Tensors& t) { t["model.norm.weight"] = Tensor(DType::kI8, {64}); };
  EXPECT_EQ(error_after("llama", change),
            mismatch("tensor 'model.norm.weight' is i8, wanted f32, bf16 or f16"));
}

TEST(LoadWeights, NamesTheFirstOfManyFaults) {
  const auto change = [](Tensors& t) {
    std::erase_if(t, [](const auto& entry) { return entry.first.starts_with("model.layers.1."); });
  };
  EXPECT_EQ(error_after("llama", change),
            mismatch("tensor 'model.layers.1.input_layernorm.weight' [64] is missing; tensor "
                     "'model.layers.1.post_attention_layernorm.weight' [64] is missing; tensor "
                     "'model.layers.1.self_attn.q_proj.weight' [64, 64] is missing; and 6 more"));
}

}  // namespace
}  // namespace ashlar::testing
