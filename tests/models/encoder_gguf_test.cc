// Encoders written as GGUF and as folders: what is read back computes the same, to the bit of each
// tensor.
#include "ashlar/base/file.h"
#include "ashlar/base/json.h"
#include "ashlar/bundle/convert.h"
#include "ashlar/bundle/gguf_encoder.h"
#include "ashlar/bundle/load_weights.h"
#include "ashlar/formats/gguf_writer.h"
#include "ashlar/models/decoder_graphs.h"
#include "tests/base/messages.h"
#include "tests/base/temp_dir.h"
#include "tests/models/encoder_models.h"
#include "tests/models/model_run.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <array>
#include <cstring>
#include <filesystem>
#include <map>

namespace ashlar::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

std::string write_file_of(const std::string& folder, const std::string& pooling,
                          const char* mix = "f32") {
  const std::string path = join_path(folder, "m.gguf");
  ThreadPool pool(1);
  bundle::write_gguf_model(bundle::Bundle::open(folder), path, bundle::find_quant_mix(mix), pool,
                           [](int64_t, int64_t) {}, {.pooling = pooling});
  return path;
}

class EncoderWritten : public ::testing::TestWithParam<const char*> {};

// A file of ours computes the same and holds the same tensors, without heads and poolers.
TEST_P(EncoderWritten, AsGgufComputesTheSame) {
  const json golden = encoder_golden(GetParam());
  const TempDir folder(quick_folder());
  write_encoder_model(folder.path(), golden);
  const bundle::Bundle written = bundle::Bundle::open(write_file_of(folder.path(), "cls"));
  EXPECT_EQ(bundle::gguf_embedding(written.gguf()->metadata()).pooling, "cls");
  expect_encoder_golden(written, golden);

  const bundle::Bundle source = bundle::Bundle::open(folder.path());
  const graph::Graph graph = models::build_hidden(source.description());
  std::map<std::string, Tensor> wanted;
  bundle::load_weights(source.open_weights(), graph, bundle::Storage::kOwn, "source",
                       [&](const std::string& name, Tensor tensor) { wanted[name] = tensor; });
  const int64_t cut = source.description().position_offset;
  int64_t compared = 0;
  bundle::load_weights(
      written.open_weights(), models::build_hidden(written.description()), bundle::Storage::kOwn,
      "written", [&](const std::string& name, const Tensor& tensor) {
        Tensor same = wanted.at(name);
        if (name == "positions.weight") same = same.rows(cut, same.shape()[0]);
        ASSERT_EQ(tensor.shape(), same.shape()) << name;
        EXPECT_EQ(std::memcmp(tensor.data(), same.data(), same.bytes()), 0) << name;
        ++compared;
      });
  EXPECT_EQ(compared, std::ssize(wanted));
}

INSTANTIATE_TEST_SUITE_P(Models, EncoderWritten,
                         ::testing::Values("bert", "roberta", "nomic", "modernbert"),
                         [](const auto& model) { return std::string(model.param); });

TEST(EncoderConvert, WhatGgufCannotSayIsRefused) {
  const TempDir folder(quick_folder());
  const auto refusal = [&](const std::string& name, const std::string& pooling) -> std::string {
    const std::string model = folder.path(name);
    make_directories(model);
    write_encoder_model(model, encoder_golden(name));
    return error_of([&] { write_file_of(model, pooling); });
  };
  EXPECT_THAT(refusal("bert_relu", "mean"), HasSubstr("cannot say config.json's hidden_act"));
  EXPECT_THAT(refusal("modernbert_biases", "mean"), HasSubstr("cannot say config.json's"));
  EXPECT_THAT(refusal("bert", "max"), HasSubstr("pooling 'max' has no number there"));
}

TEST(EncoderConvert, MoreLayersThanTensorsAreRefused) {
  const TempDir folder(quick_folder());
  write_encoder_model(folder.path(), encoder_golden("bert"));
  const formats::GgufReader file(write_file_of(folder.path(), "mean"));
  formats::GgufMetadata metadata;
  metadata.set_u32("bert.block_count", 9000);
  for (const auto& [key, value] : file.metadata().entries()) {
    if (!metadata.contains(key)) metadata.add(key, value);
  }
  formats::write_gguf(folder.path("hostile.gguf"), metadata,
                      {{"token_embd.weight", DType::kF32, {1, 1}}},
                      [](const formats::TensorSpec&, const formats::WriteBytes& write) {
                        write(std::array<std::byte, 4>{});
                      });
  EXPECT_THAT(error_of([&] { bundle::Bundle::open(folder.path("hostile.gguf")); }),
              HasSubstr("bert.block_count is 9000, but the file has only 1 tensors"));
}

// llama.cpp adds these to others in f32, and wants to know how many types of tokens there are.
TEST(EncoderConvert, TablesThatAreAddedStayF32) {
  const TempDir folder(quick_folder());
  write_encoder_model(folder.path(), encoder_golden("bert"));
  const formats::GgufReader file(write_file_of(folder.path(), "mean", "f16"));
  EXPECT_EQ(file.entry("token_types.weight").dtype, DType::kF32);
  EXPECT_EQ(file.entry("position_embd.weight").dtype, DType::kF32);
  EXPECT_EQ(file.entry("token_embd.weight").dtype, DType::kF16);
  EXPECT_EQ(file.metadata().integer("tokenizer.ggml.token_type_count"), 2);
}

TEST(EncoderConvert, WordPieceGoesThroughGguf) {
  const TempDir folder(quick_folder());
  std::filesystem::copy(model_fixture("bert"), folder.path("bert"));
  const std::string path = write_file_of(folder.path("bert"), "mean");
  const text::Tokenizer ours = bundle::Bundle::open(path).load_tokenizer();
  const text::Tokenizer source = bundle::Bundle::open(folder.path("bert")).load_tokenizer();
  const auto golden = read_json<json>(model_fixture("bert") + "/golden.json");
  ASSERT_GT(golden.at("tokenizer").size(), 10u);
  for (const json& item : golden.at("tokenizer")) {
    const std::string text = item.at("text");
    // Longer words are unknown there, and cut like any other in GGUF.
    constexpr size_t kLongestWord = 100;
    if (text.size() > kLongestWord && text.find(' ') == std::string::npos) continue;
    EXPECT_EQ(ours.encode(text, true), source.encode(text, true)) << text;
  }
}

// A folder without a head stays one without; one with a head keeps it.
TEST(EncoderConvert, FoldersAreWrittenWithTheHeadTheyHave) {
  for (const auto& [name, architecture] :
       {std::pair{"bert", "BertModel"}, std::pair{"bert_relu", "BertForMaskedLM"}}) {
    const TempDir folder(quick_folder());
    const std::string source = folder.path("source"), copy = folder.path("copy");
    make_directories(source);
    write_encoder_model(source, encoder_golden(name));
    bundle::write_folder_model(bundle::Bundle::open(source), copy, DType::kF32,
                               [](int64_t, int64_t) {});
    expect_encoder_golden(bundle::Bundle::open(copy), encoder_golden(name));
    EXPECT_EQ(read_json<json>(copy + "/config.json").at("architectures").at(0), architecture);
  }
}

}  // namespace
}  // namespace ashlar::testing
