#include "ashlar/base/atomic_file.h"
#include "ashlar/base/file.h"
#include "tests/base/shared_data.h"
#include "tests/cli/program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

namespace ashlar::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

TEST(InspectTest, TellsSizesAndMemory) {
  const Json json = ashlar_json({"inspect", fixture_model("llama"), "--context", "100"});
  EXPECT_EQ(json["family"], "llama");
  EXPECT_EQ(json["layers"], 2);
  EXPECT_EQ(json["kv_heads"], 2);
  // Every parameter is f32 here, so bytes and parameters tell the same.
  EXPECT_EQ(json["weights"]["bytes"], json["parameters"].get<int64_t>() * 4);
  EXPECT_EQ(json["weights"]["dtypes"]["f32"], json["parameters"]);
  // 100 tokens fill seven blocks of 16.
  EXPECT_EQ(json["memory"]["cache_bytes"], 112 * 2 * 2 * 2 * 16 * 4);
  EXPECT_EQ(json["memory"]["cache_dtype"], "f32");
  EXPECT_EQ(json["tokenizer"]["vocab_size"], 512);
  EXPECT_EQ(json["chat_templates"], Json::array({"default"}));
  EXPECT_THAT(ashlar({"inspect", fixture_model("gpt2")}).out, HasSubstr("(head tied)"));
}

// What a user may ask of `run` is counted as `run` takes it: q8_0 holds 32 weights in 34 bytes, and
// keys and values beside them are f16.
TEST(InspectTest, CountsMemoryAsRunTakesIt) {
  const auto memory = [](std::vector<std::string> flags) {
    flags.insert(flags.begin(), {"inspect", fixture_model("llama"), "--context", "64"});
    return ashlar_json(flags)["memory"];
  };
  const Json plain = memory({}), q8_0 = memory({"--dtype", "q8_0"}),
             bf16 = memory({"--dtype", "bf16"});
  EXPECT_EQ(q8_0["dtype"], "q8_0");
  EXPECT_EQ(q8_0["cache_dtype"], "f16");
  EXPECT_EQ(2 * q8_0["cache_bytes"].get<int64_t>(), plain["cache_bytes"]);
  EXPECT_LT(q8_0["weight_bytes"].get<int64_t>(), bf16["weight_bytes"].get<int64_t>());
  EXPECT_LT(bf16["weight_bytes"].get<int64_t>(), plain["weight_bytes"].get<int64_t>());
  EXPECT_EQ(plain["total_bytes"], plain["weight_bytes"].get<int64_t>() +
                                      plain["cache_bytes"].get<int64_t>() +
                                      plain["work_bytes"].get<int64_t>());
  EXPECT_THAT(ashlar({"inspect", fixture_model("llama"), "--dtype", "q8_0"}).out,
              AllOf(HasSubstr("weights as q8_0"), HasSubstr("cache as f16")));
  const testing::ProgramResult beyond =
      ashlar({"inspect", fixture_model("llama"), "--ctx", "99999"});
  EXPECT_EQ(beyond.exit_code, 1);
  EXPECT_THAT(beyond.err, HasSubstr("99999 tokens asked for"));
}

// Of layers that are experts only, no width of a plain MLP is told, whatever a file says.
TEST(InspectTest, TellsTheMlpsThatAreThere) {
  const auto found = [](const std::string& model, const char* key) {
    return ashlar_json({"inspect", model})[key];
  };
  const std::string mixtral = fixture_model("mixtral");
  EXPECT_EQ(found(mixtral, "ffn"), 0);
  EXPECT_EQ(found(mixtral, "expert_ffn"), 176);
  EXPECT_THAT(ashlar({"inspect", mixtral}).out,
              AllOf(HasSubstr("4 of 176, 2 for each token"), Not(HasSubstr("MLP"))));
  EXPECT_EQ(found(fixture_model("llama"), "expert_ffn"), 0);
  EXPECT_EQ(found(fixture_model("llama"), "ffn"), 176);
  const std::string sparse = fixture_model("deepseek_v2");  // a plain layer first
  EXPECT_THAT(ashlar({"inspect", sparse}).out, HasSubstr(" in 1 of "));
  EXPECT_GT(found(sparse, "shared_ffn"), 0);
}

// Formats that no kernel multiplies are widened, and rows that are no whole blocks take others.
TEST(InspectTest, TellsWhatWeightsAreHeldAs) {
  const testing::TempDir folder;
  const std::string file = folder.path("model.gguf");
  ASSERT_EQ(ashlar({"convert", fixture_model("llama"), file, "--quant", "q5_0"}).exit_code, 0);
  const Json json = ashlar_json({"inspect", file});
  EXPECT_GT(json["weights"]["dtypes"]["q5_0"], 0);
  EXPECT_EQ(json["memory"]["dtype"], "f32");
  EXPECT_THAT(ashlar({"run", file, "Hi", "--max-new", "1"}).err,
              HasSubstr("most weights are held as f32, not q5_0: kernels do not multiply it"));
  EXPECT_THAT(
      ashlar({"run", fixture_model("llama"), "Hi", "--max-new", "1", "--dtype", "Q4_K"}).err,
      HasSubstr("most weights are held as q8_0, not q4_k: rows are no multiple of 256"));
  EXPECT_THAT(
      ashlar({"run", fixture_model("llama"), "Hi", "--max-new", "1", "--dtype", "q8_0"}).err,
      Not(HasSubstr("held as")));
}

TEST(InspectTest, TellsOfAnAdapterBesideAModel) {
  const testing::TempDir folder;
  const std::string model = folder.path("model");
  std::filesystem::copy(fixture_model("llama"), model, std::filesystem::copy_options::recursive);
  write_file(join_path(model, "adapter_config.json"), "{}");
  const testing::ProgramResult result = ashlar({"inspect", model});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.err,
              HasSubstr("adapter_config.json lies beside the model and is not applied"));
}

// transformers adds and changes tokens by tokenizer_config.json, for every verb.
TEST(InspectTest, TellsOfTokensThatTransformersHasOtherwise) {
  const testing::TempDir folder;
  const std::string model = folder.path("model");
  std::filesystem::copy(fixture_model("llama"), model, std::filesystem::copy_options::recursive);
  write_file(join_path(model, "tokenizer_config.json"),
             R"({"added_tokens_decoder": {"2": {"content": "<|eot_id|>", "lstrip": true},
                                          "900": {"content": "<other>", "lstrip": false}}})");
  const std::string err =
      ashlar({"tokenize", "encode", model, "--file", join_path(model, "config.json")}).err;
  EXPECT_THAT(err, HasSubstr("1 tokens of added_tokens_decoder are not in tokenizer.json and are "
                             "cut here as other text is, the first is '<other>'"));
  EXPECT_THAT(err, HasSubstr("1 tokens of added_tokens_decoder have other flags than in "
                             "tokenizer.json, which counts here, the first is '<|eot_id|>'"));
}

TEST(InspectTest, TellsOfAVocabularyAlone) {
  const std::string file = shared_data("fixtures/tokenizers/ggml-vocab-gpt-2.gguf");
  if (!is_file(file)) GTEST_SKIP() << "the shared fixtures are not here";
  const Json json = ashlar_json({"inspect", file});
  EXPECT_EQ(json["tokenizer"]["type"], "BPE");
  EXPECT_EQ(json["tokenizer"]["vocab_size"], 50257);
  EXPECT_EQ(json["metadata"]["tokenizer.ggml.pre"], "gpt-2");
  EXPECT_THAT(ashlar({"inspect", file}).out,
              AllOf(HasSubstr("a vocabulary without a model"), HasSubstr("BPE, 50257 tokens")));
}

TEST(InspectTest, TellsOfAnEncoder) {
  const Json json = ashlar_json({"inspect", fixture_model("bert")});
  EXPECT_EQ(json["family"], "bert");
  EXPECT_GT(json["parameters"], 0);
  EXPECT_EQ(json["memory"]["cache_bytes"], 0);
  EXPECT_EQ(json["memory"]["total_bytes"], json["weights"]["bytes"]);
  const testing::TempDir folder;
  const std::string text = folder.path("graph.txt");
  const testing::ProgramResult result = ashlar({"inspect", fixture_model("bert"), "--graph", text});
  EXPECT_THAT(result.out, HasSubstr("norms       layer behind each sum"));
  EXPECT_THAT(read_file(text), HasSubstr("layers.0.attn"));
}

TEST(InspectTest, DrawsTheGraph) {
  const testing::TempDir folder;
  const std::string svg = folder.path("graph.svg"), text = folder.path("graph.txt");
  ASSERT_EQ(ashlar({"inspect", fixture_model("llama"), "--graph", text}).exit_code, 0);
  ASSERT_EQ(ashlar({"inspect", fixture_model("llama"), "--graph", svg}).exit_code, 0);
  const std::string lines = read_file(text), drawing = read_file(svg);
  EXPECT_EQ(count(drawing, "<svg "), 1u);
  EXPECT_TRUE(drawing.ends_with("</svg>\n"));
  // A box for each node.
  EXPECT_EQ(count(drawing, "rx=\"5\""), count(lines, "  # F "));
  EXPECT_GE(count(drawing, "<path d="), count(lines, "  # F ") - 1);
  EXPECT_THAT(drawing, HasSubstr("layers.1.attn"));
  EXPECT_THAT(drawing, HasSubstr("= logits"));

  ASSERT_EQ(ashlar({"inspect", fixture_model("llama"), "--graph", svg, "--training"}).exit_code, 0);
  EXPECT_THAT(read_file(svg), HasSubstr("gradients of weights"));
}

// The facts are shown, and then what is wrong.
TEST(InspectTest, WeightsOfAnotherShapeAreAFault) {
  const testing::TempDir folder;
  const std::string model = copy_model("llama", folder);
  Json config = Json::parse(read_file(model + "/config.json"));
  config["intermediate_size"] = config["intermediate_size"].get<int>() + 8;
  write_file(model + "/config.json", config.dump());
  const testing::ProgramResult result = ashlar({"inspect", model});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.out, HasSubstr("family      llama"));
  EXPECT_THAT(result.err, HasSubstr("the weights do not match config.json: tensor '"));
}

TEST(InspectTest, PathsThatAreNotUtf8AreShownAsFarAsTheyAre) {
  const testing::TempDir folder;
  const std::string model = copy_model("llama", folder), odd = folder.path("m\xFF");
  std::filesystem::rename(model, odd);
  EXPECT_EQ(ashlar_json({"inspect", odd})["family"], "llama");
}

TEST(InspectTest, BadGraphNamesAndPaths) {
  EXPECT_THAT(complaint(ashlar({"inspect", fixture_model("llama"), "--graph", "g.png"}), 2),
              HasSubstr("a name ending in .svg (a drawing) or .txt (text) is wanted"));
  EXPECT_THAT(
      complaint(ashlar({"inspect", fixture_model("llama"), "--graph", "/no/such/g.svg"}), 1),
      HasSubstr("/no/such"));
}

}  // namespace
}  // namespace ashlar::cli
