// ashlar convert, and the verbs on what it wrote.
#include "ashlar/base/atomic_file.h"
#include "ashlar/base/cpu.h"
#include "ashlar/base/file.h"
#include "ashlar/generate/open_model.h"
#include "tests/base/temp_dir.h"
#include "tests/cli/program.h"
#include "tests/models/family_models.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

namespace ashlar::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class ConvertTest : public ::testing::TestWithParam<const char*> {
 protected:
  // The fixture as m.gguf, its golden.json beside.
  std::string converted(const std::string& quant) {
    const std::string path = folder_.path("m.gguf");
    const Json json = ashlar_json({"convert", fixture_model(GetParam()), path, "--quant", quant});
    EXPECT_EQ(json["type"], quant);
    write_file(folder_.path("golden.json"), read_file(fixture_model(GetParam()) + "/golden.json"));
    return path;
  }

  testing::TempDir folder_;
};

// The fixture's own self-test of logits, greedy text and tokenizer, on the GGUF file and on the
// folder made of it. What only training knows (the loss of a router) no GGUF file says.
TEST_P(ConvertTest, TheSelfTestPasses) {
  const auto expect_passed = [](const std::string& model) {
    const testing::ProgramResult result = ashlar({"verify", model, "--json"});
    const Json json = Json::parse(result.out, nullptr, false);
    ASSERT_TRUE(json.is_object()) << result.err;
    for (const char* section : {"tokenizer", "forward", "generate"}) {
      EXPECT_EQ(json["sections"][section]["status"], "passed") << json.dump(1);
    }
    EXPECT_NE(json["sections"]["chat"]["status"], "failed");
  };
  const std::string path = converted("f32"), back = folder_.path("back");
  expect_passed(path);
  ASSERT_EQ(ashlar({"convert", path, back}).exit_code, 0);
  write_file(back + "/golden.json", read_file(folder_.path("golden.json")));
  expect_passed(back);
}

// Weights of a file in 16 bits stay as they are; what is computed has the bits of f32 weights (AMX
// multiplies bf16 in an order of its own).
TEST_P(ConvertTest, SixteenBitsAreHeldAsTheyAre) {
  for (const char* quant : {"f16", "bf16"}) {
    const std::string folder = folder_.path(quant);
    ASSERT_EQ(ashlar({"convert", fixture_model(GetParam()), folder, "--quant", quant}).exit_code,
              0);
    const std::vector<std::string> words = {"logits", folder, "--ids", "3,5,7"};
    std::vector<std::string> widened = words;
    widened.insert(widened.end(), {"--dtype", "f32"});
    const std::vector<double> held = ashlar_json(words)["logits"];
    const std::vector<double> wide = ashlar_json(widened)["logits"];
    if (best_isa_tier() == IsaTier::kAmx && quant == std::string("bf16")) {
      EXPECT_THAT(held, ::testing::Pointwise(::testing::DoubleNear(1e-5), wide));
    } else {
      EXPECT_EQ(held, wide) << quant;
    }
    const bundle::Bundle bundle = bundle::Bundle::open(folder);
    EXPECT_EQ(name(generate::held_weights(bundle, std::nullopt).dtype), quant);
  }
}

TEST_P(ConvertTest, VerbsTakeTheFile) {
  const std::string path = converted("q8_0"), model = fixture_model(GetParam());
  const std::vector<double> found = ashlar_json({"logits", path, "--ids", "3,5,7"})["logits"];
  const std::vector<double> wanted = ashlar_json({"logits", model, "--ids", "3,5,7"})["logits"];
  ASSERT_EQ(found.size(), wanted.size());
  double largest = 0, difference = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    largest = std::max(largest, std::abs(wanted[i]));
    difference = std::max(difference, std::abs(found[i] - wanted[i]));
  }
  EXPECT_LT(difference, 0.1 * largest);  // random weights

  EXPECT_GT(difference, 0);  // it is quantised
  // The file's blocks are multiplied as they are, unless something else is asked for.
  const auto held_as = [&](const char* dtype) -> std::vector<double> {
    return ashlar_json({"logits", path, "--ids", "3,5,7", "--dtype", dtype})["logits"];
  };
  EXPECT_EQ(held_as("q8_0"), found);
  EXPECT_NE(held_as("f32"), found);

  const Json facts = ashlar_json({"inspect", path, "--ctx", "64"});
  EXPECT_THAT(facts["format"], StartsWith("GGUF version 3"));
  EXPECT_GT(facts["weights"]["dtypes"]["q8_0"], facts["weights"]["dtypes"]["f32"]);
  EXPECT_EQ(facts["memory"]["context"], 64);
  EXPECT_EQ(facts["metadata"]["general.file_type"], "7");
  EXPECT_EQ(ashlar_json({"run", path, "Hello", "--max-new", "3", "--greedy"})["ids"].size(), 3u);
}

INSTANTIATE_TEST_SUITE_P(Models, ConvertTest,
                         ::testing::Values("gpt2", "llama", "llama2", "mixtral"),
                         [](const auto& model) { return std::string(model.param); });

// Tensors go through memory one by one: a model of many needs room for a few.
TEST(ConvertMemoryTest, HoldsAFewTensorsAtATime) {
  const testing::TempDir folder;
  const auto peak = [&](int layers) -> int64_t {
    const std::string model = folder.path(std::to_string(layers));
    testing::make_counted_model(Json{{"model_type", "llama"},
                                     {"vocab_size", 64},
                                     {"hidden_size", 256},
                                     {"num_hidden_layers", layers},
                                     {"num_attention_heads", 4},
                                     {"intermediate_size", 2048},
                                     {"max_position_embeddings", 64}}
                                    .dump(),
                                model);
    const Json json = ashlar_json({"convert", model, model + ".gguf", "--quant", "f16"});
    const Json back = ashlar_json({"convert", model + ".gguf", model + "_back"});
    return std::max(json["peak_bytes"].get<int64_t>(), back["peak_bytes"].get<int64_t>());
  };
  constexpr int64_t kLargest = 2048 * 256 * 4;  // a matrix of an MLP
  const int64_t small = peak(1), large = peak(12);
  EXPECT_LT(large, small + 3 * kLargest) << "12 layers have 12 times 3 such matrices";
}

TEST(ConvertFaultTest, WhatCannotBeWritten) {
  const testing::TempDir folder;
  const std::string model = fixture_model("llama");
  EXPECT_THAT(ashlar({"convert", model, folder.path("m.gguf"), "--quant", "q9"}).err,
              HasSubstr("--quant: 'q9' is not known; known are f32, f16, bf16, q8_0,"));
  EXPECT_THAT(ashlar({"convert", model, folder.path("out"), "--quant", "q8_0"}).err,
              HasSubstr("--quant q8_0: a Hugging Face folder holds f32, f16 or bf16"));
  EXPECT_TRUE(list_directory(folder.path()).empty());
  const std::string file = folder.path("m.gguf");
  ASSERT_EQ(ashlar({"convert", model, file}).exit_code, 0);
  EXPECT_THAT(complaint(ashlar({"convert", file, file, "--quant", "q8_0"}), 1),
              HasSubstr("m.gguf would replace the model it is made from; name another file"));
  EXPECT_THAT(complaint(ashlar({"convert", model, "/dev/null"}), 1),
              HasSubstr("/dev/null is no folder; name a new folder, or a file that ends in .gguf"));
}

// Whatever config.json says they are.
TEST(ConvertTypeTest, IsThatOfTheWeights) {
  const testing::TempDir folder;
  const std::string model = copy_model("llama", folder);  // of f32
  Json config = Json::parse(read_file(model + "/config.json"));
  config["dtype"] = config["torch_dtype"] = "bfloat16";
  write_file(model + "/config.json", config.dump());
  EXPECT_EQ(ashlar_json({"convert", model, folder.path("a.GGUF")})["type"], "f32");
  EXPECT_EQ(ashlar_json({"convert", model, folder.path("b"), "--quant", "f16"})["type"], "f16");
  EXPECT_EQ(ashlar_json({"convert", folder.path("b"), folder.path("c.gguf")})["type"], "f16");
  EXPECT_THAT(complaint(ashlar({"convert", model, folder.path("d.safetensors")}), 2),
              HasSubstr("d.safetensors: name a new folder, or a file that ends in .gguf"));
}

// f16 ends at 65504.
TEST(ConvertTypeTest, ValuesBeyondTheTypeAreNotLost) {
  const testing::TempDir folder;
  const std::string model = copy_model("llama", folder), file = model + "/model.safetensors";
  std::string bytes = read_file(file);
  const float large = 1e6f;
  bytes.replace(bytes.size() - sizeof large, sizeof large,
                std::string_view(reinterpret_cast<const char*>(&large), sizeof large));
  write_file(file, bytes);
  EXPECT_THAT(complaint(ashlar({"convert", model, folder.path("f16"), "--quant", "f16"}), 1),
              HasSubstr("holds what f16 has no place for (at most 65504); convert to bf16 or f32"));
  EXPECT_FALSE(std::filesystem::exists(folder.path("f16")));
  EXPECT_EQ(ashlar_json({"convert", model, folder.path("bf16"), "--quant", "bf16"})["type"],
            "bf16");
}

// Models by name, as the Hugging Face library caches them.
TEST(HubCacheTest, FindsAModelByName) {
  const testing::TempDir home;
  const std::string folder = home.path("hub/models--org--small");
  make_directories(folder + "/refs");
  make_directories(folder + "/snapshots/abc123");
  write_file(folder + "/refs/main", "abc123\n");
  for (const std::string& name : list_directory(fixture_model("llama"))) {
    write_file(folder + "/snapshots/abc123/" + name,
               read_file(fixture_model("llama") + "/" + name));
  }
  const testing::ProgramOptions options{.env = {{"HF_HOME", home.path()}, {"HF_HUB_CACHE", ""}}};
  const testing::ProgramResult found =
      ashlar({"logits", "org/small", "--ids", "1,2", "--json"}, options);
  EXPECT_EQ(found.exit_code, 0) << found.err;
  EXPECT_EQ(found.out, ashlar({"logits", fixture_model("llama"), "--ids", "1,2", "--json"}).out);
  EXPECT_THAT(ashlar({"logits", "org/other", "--ids", "1"}, options).err,
              HasSubstr("no such folder or file, and no such model in the Hugging Face cache, " +
                        home.path("hub")));
  EXPECT_THAT(ashlar({"logits", "org/smal", "--ids", "1"}, options).err,
              HasSubstr("the nearest name there is org/small"));
  EXPECT_THAT(ashlar({"logits", "https://huggingface.co/org/small", "--ids", "1"}, options).err,
              HasSubstr("is an address; nothing is downloaded"));
  ASSERT_EQ(ashlar({"convert", "org/small", home.path("m.gguf")}, options).exit_code, 0);
  EXPECT_EQ(ashlar_json({"inspect", home.path("m.gguf")})["metadata"]["general.name"], "small");
  EXPECT_THAT(ashlar({"logits", "org/small@v2", "--ids", "1"}, options).err,
              HasSubstr("has no snapshot of revision 'v2' in " + folder));
  // Models of old have no organisation.
  std::filesystem::rename(folder, home.path("hub/models--small"));
  EXPECT_EQ(ashlar({"logits", "small", "--ids", "1,2", "--json"}, options).out, found.out);
}

}  // namespace
}  // namespace ashlar::cli
