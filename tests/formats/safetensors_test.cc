#include "ashlar/formats/safetensors.h"

#include "ashlar/base/file.h"
#include "ashlar/formats/safetensors_writer.h"
#include "tests/base/messages.h"
#include "tests/base/paths.h"
#include "tests/base/temp_dir.h"
#include "tests/formats/safetensors_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

namespace ashlar::formats {
namespace {

using ashlar::testing::error_of;
using ashlar::testing::raw_file;
using ashlar::testing::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

// Content that tells tensors and positions apart.
Tensor filled(const TensorSpec& spec) {
  Tensor tensor(spec.dtype, spec.shape);
  size_t at = std::hash<std::string>()(spec.name);
  for (size_t i = 0; i < tensor.bytes(); ++i) tensor.data()[i] = static_cast<std::byte>(at++ * 7);
  return tensor;
}

bool same(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         std::memcmp(a.data(), b.data(), a.bytes()) == 0;
}

const std::vector<TensorSpec>& every_dtype() {
  static const std::vector<TensorSpec> specs = {
      {"bool", DType::kBool, {3}},     {"u8", DType::kU8, {1, 5}}, {"i8", DType::kI8, {7}},
      {"u16", DType::kU16, {3}},       {"i16", DType::kI16, {3}},  {"f16", DType::kF16, {1, 1, 1}},
      {"bf16", DType::kBF16, {3, 5}},  {"u32", DType::kU32, {2}},  {"i32", DType::kI32, {2}},
      {"f32", DType::kF32, {17, 3}},   {"i64", DType::kI64, {1}},  {"f64", DType::kF64, {}},
      {"none", DType::kF32, {4, 0, 2}}};
  return specs;
}

TEST(SafetensorsTest, BlocksCannotBeWritten) {
  const TempDir dir;
  const std::string path = dir.path("x.safetensors");
  EXPECT_EQ(error_of([&] {
              write_safetensors(path, {{"w", DType::kQ4K, {1, 256}}}, filled);
            }),
            "safetensors: has no q4_k; convert to bf16, f16 or f32");
}

TEST(SafetensorsTest, EveryDTypeComesBack) {
  const TempDir dir;
  const std::string path = dir.path("x.safetensors");
  const FileRecord record =
      write_safetensors(path, every_dtype(), filled, {.metadata = {{"format", "pt"}, {"é", "\n"}}});
  EXPECT_EQ(record, record_file(dir.path(), "x.safetensors"));
  const SafetensorsReader reader(path);
  EXPECT_EQ(reader.names().size(), every_dtype().size());
  for (const TensorSpec& spec : every_dtype()) {
    const Tensor tensor = reader.tensor(spec.name);
    EXPECT_TRUE(same(tensor, filled(spec))) << spec.name;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.data()) % static_cast<size_t>(size_of(spec.dtype)),
              0u);
  }
  EXPECT_THAT(reader.metadata(),
              UnorderedElementsAre(std::pair<const std::string, std::string>("format", "pt"),
                                   std::pair<const std::string, std::string>("é", "\n")));
}

TEST(SafetensorsTest, DataIsAlignedAndOrderKept) {
  const TempDir dir;
  std::vector<std::string> asked;
  write_safetensors(dir.path("x"),
                    {{"b", DType::kF32, {3}}, {"h", DType::kBF16, {1}}, {"a", DType::kF32, {1}}},
                    [&](const TensorSpec& spec) {
                      asked.push_back(spec.name);
                      return filled(spec);
                    });
  EXPECT_THAT(asked, ElementsAre("b", "a", "h"));
  const SafetensorsReader reader(dir.path("x"));
  EXPECT_THAT(reader.names(), ElementsAre("b", "a", "h"));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(reader.tensor("b").data()) % 64, 0u);
  EXPECT_EQ(reader.data_bytes(), 18);
}

TEST(SafetensorsTest, ViewsOutliveTheReader) {
  const TempDir dir;
  const TensorSpec spec{"a", DType::kF32, {1000}};
  write_safetensors(dir.path("x"), {spec}, filled);
  Tensor tensor;
  {
    const SafetensorsReader reader(dir.path("x"));
    reader.will_need("a");
    tensor = reader.tensor("a");
    EXPECT_EQ(reader.tensor("a").data(), tensor.data());  // no copies
    reader.release("a");
  }
  remove_tree(dir.path("x"));
  EXPECT_TRUE(same(tensor, filled(spec)));
}

TEST(SafetensorsTest, UnalignedDataIsCopied) {
  const TempDir dir;
  const std::string header = R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                             R"("y":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}})";
  write_file(dir.path("x"), raw_file(header, std::string("\x01\0\0\x80\x3f", 5)));
  const SafetensorsReader reader(dir.path("x"));
  EXPECT_EQ(reader.tensor("y").as<float>()[0], 1.0f);
}

TEST(SafetensorsTest, AnEmptyFileIsFine) {
  const TempDir dir;
  write_safetensors(dir.path("x"), {}, filled, {.metadata = {}});
  const SafetensorsReader reader(dir.path("x"));
  EXPECT_TRUE(reader.names().empty());
  EXPECT_TRUE(reader.metadata().empty());
}

TEST(SafetensorsTest, MissingTensorsNameTheNearest) {
  const TempDir dir;
  write_safetensors(dir.path("x"), {{"model.layers.0.weight", DType::kF32, {1}}}, filled);
  const SafetensorsReader reader(dir.path("x"));
  EXPECT_EQ(reader.find("model"), std::nullopt);
  EXPECT_EQ(error_of([&] { reader.tensor("model.layer.0.weight"); }),
            dir.path("x") +
                ": there is no tensor 'model.layer.0.weight'; the nearest name is "
                "'model.layers.0.weight'");
  EXPECT_EQ(error_of([&] { reader.entry("q"); }), dir.path("x") + ": there is no tensor 'q'");
}

TEST(SafetensorsTest, WhatThePythonPackageWrote) {
  const SafetensorsReader reader(test_data("models/llama2"));
  EXPECT_THAT(reader.files(), ElementsAre(::testing::EndsWith("llama2/model.safetensors")));
  EXPECT_EQ(reader.metadata().at("format"), "pt");
  EXPECT_EQ(reader.tensor("model.norm.weight").shape().rank(), 1);
  for (const std::string& name : reader.names()) EXPECT_TRUE(is_float(reader.tensor(name).dtype()));
}

TEST(SafetensorsTest, WriterRefuses) {
  const TempDir dir;
  const std::string path = dir.path("x");
  const TensorSpec a{"a", DType::kF32, {2}};
  EXPECT_EQ(error_of([&] {
              write_safetensors(path, {a, a}, filled);
            }),
            "safetensors: cannot write tensor 'a': the name is taken");
  EXPECT_EQ(error_of([&] {
              write_safetensors(path, {{"__metadata__", DType::kF32, {}}}, filled);
            }),
            "safetensors: cannot write tensor '__metadata__': the name is taken");
  EXPECT_EQ(error_of([&] {
              write_safetensors(path, {{"\xff", DType::kF32, {}}}, filled);
            }),
            "safetensors: cannot write a tensor name or metadata that is not UTF-8");
  EXPECT_EQ(error_of([&] {
              write_safetensors(path, {{"a", DType::kF32, {INT64_MAX, 2}}}, filled);
            }),
            "safetensors: cannot write tensor 'a': its shape [9223372036854775807, 2] overflows");
  EXPECT_EQ(error_of([&] {
              write_safetensors(path, {a},
                                [](const TensorSpec&) { return Tensor(DType::kBF16, {2}); });
            }),
            "safetensors " + path + ": tensor 'a': got bf16 [2], announced f32 [2]");
  EXPECT_TRUE(list_directory(dir.path()).empty());
}

class ShardsTest : public ::testing::Test {
 protected:
  // 40 + 80 + 120 bytes, at most 120 a shard: {a, b}, {c}.
  void write() {
    files_ = write_safetensors_model(dir_.path(), specs_, filled, {.max_shard_bytes = 120});
  }
  void index(const std::string& text) {
    write_file(dir_.path("model.safetensors.index.json"), text);
  }
  std::string error() {
    std::string message = error_of([&] { SafetensorsReader reader(dir_.path()); });
    const std::string start = dir_.path("model.safetensors.index.json") + ": ";
    return message.starts_with(start) ? message.substr(start.size()) : message;
  }

  TempDir dir_{ashlar::testing::quick_folder()};
  std::vector<TensorSpec> specs_ = {
      {"a", DType::kF32, {10}}, {"b", DType::kF32, {20}}, {"c", DType::kF32, {30}}};
  std::vector<FileRecord> files_;
};

TEST_F(ShardsTest, WriteAndRead) {
  write();
  EXPECT_THAT(list_directory(dir_.path()),
              ElementsAre("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
                          "model.safetensors.index.json"));
  Manifest manifest(files_);
  EXPECT_EQ(manifest.files().size(), 3u);
  manifest.verify(dir_.path());
  for (const char* path : {"", "model.safetensors.index.json"}) {
    const SafetensorsReader reader(dir_.path(path));
    EXPECT_THAT(reader.names(), ElementsAre("a", "b", "c"));
    for (const TensorSpec& spec : specs_) {
      EXPECT_TRUE(same(reader.tensor(spec.name), filled(spec)));
    }
    EXPECT_EQ(reader.data_bytes(), 240);
    EXPECT_EQ(reader.files().size(), 2u);
  }
  EXPECT_THAT(read_file(dir_.path("model.safetensors.index.json")),
              HasSubstr("\"total_size\": 240"));
}

TEST_F(ShardsTest, OneFileWhereItFits) {
  EXPECT_EQ(write_safetensors_model(dir_.path(), specs_, filled).size(), 1u);
  EXPECT_THAT(list_directory(dir_.path()), ElementsAre("model.safetensors"));
  EXPECT_EQ(SafetensorsReader(dir_.path()).names().size(), 3u);
  EXPECT_THAT(error_of([&] { write(); }), HasSubstr("it holds model.safetensors of another one"));
}

TEST_F(ShardsTest, ATensorBeyondTheLimitHasItsOwnShard) {
  files_ = write_safetensors_model(dir_.path(), specs_, filled, {.max_shard_bytes = 1});
  EXPECT_EQ(files_.size(), 4u);
  EXPECT_EQ(SafetensorsReader(dir_.path()).names().size(), 3u);
}

TEST_F(ShardsTest, MissingShard) {
  write();
  remove_tree(dir_.path("model-00002-of-00002.safetensors"));
  EXPECT_EQ(error(), "the shard " + dir_.path("model-00002-of-00002.safetensors") + " is missing");
}

TEST_F(ShardsTest, TensorInTheWrongShard) {
  write();
  const std::string one = "model-00001-of-00002.safetensors",
                    two = "model-00002-of-00002.safetensors";
  index(R"({"weight_map":{"a":")" + one + R"(","b":")" + two + R"(","c":")" + two + R"("}})");
  EXPECT_EQ(error(), "tensor 'b' is in " + one + ", but the index says " + two);
  index(R"({"weight_map":{"a":")" + one + R"(","d":")" + one + R"("}})");
  EXPECT_EQ(error(), "the index puts tensor 'd' in " + one + ", which lacks it");
  index(R"({"weight_map":{"a":")" + one + R"("}})");  // b is extra and stays unseen
  EXPECT_THAT(SafetensorsReader(dir_.path()).names(), ElementsAre("a"));
}

TEST_F(ShardsTest, PathsStayInTheFolder) {
  for (const char* file : {"../x", "/etc/passwd", "..", ".", "", "a/b", "a\\\\b", "x\\u0000"}) {
    index(fmt::format(R"({{"weight_map":{{"a":"{}"}}}})", file));
    EXPECT_THAT(error(), HasSubstr("which is not the plain name of a file")) << file;
  }
}

TEST_F(ShardsTest, BrokenIndex) {
  index("[]");
  EXPECT_EQ(error(), "has no object weight_map");
  index("{}");
  EXPECT_EQ(error(), "has no object weight_map");
  index(R"({"weight_map":[]})");
  EXPECT_EQ(error(), "has no object weight_map");
  index(R"({"weight_map":{"a":1}})");
  EXPECT_EQ(error(), "weight_map: the file of 'a' is not a string");
  index("{\n \"weight_map\": {,");
  EXPECT_THAT(error(), HasSubstr("index.json:2:17: syntax error"));
  index(std::string(100000, '['));
  EXPECT_THAT(error(), HasSubstr("nested deeper than 64 levels"));
}

TEST(SafetensorsFolderTest, NothingThere) {
  const TempDir dir;
  EXPECT_EQ(error_of([&] { SafetensorsReader reader(dir.path()); }),
            dir.path() + ": holds neither model.safetensors nor model.safetensors.index.json");
  EXPECT_THAT(error_of([&] { SafetensorsReader reader(dir.path("gone.safetensors")); }),
              StartsWith("cannot open " + dir.path("gone.safetensors")));
}

}  // namespace
}  // namespace ashlar::formats
