#include "ashlar/formats/gguf.h"

#include "ashlar/base/file.h"
#include "ashlar/formats/gguf_writer.h"
#include "tests/base/messages.h"
#include "tests/base/paths.h"
#include "tests/base/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

namespace ashlar::formats {
namespace {

using ashlar::testing::error_of;
using ashlar::testing::TempDir;
using ::testing::ElementsAre;

std::string golden() { return test_data("gguf/every_kind.gguf"); }

TEST(GgufTest, ReadsEveryKindOfMetadata) {
  const GgufReader file(golden());
  const GgufMetadata& meta = file.metadata();
  EXPECT_EQ(meta.text("general.architecture"), "llama");
  EXPECT_EQ(meta.integer("k.u8"), 200);
  EXPECT_EQ(meta.integer("k.i8"), -100);
  EXPECT_EQ(meta.integer("k.u16"), 60000);
  EXPECT_EQ(meta.integer("k.i16"), -30000);
  EXPECT_EQ(meta.integer("k.u32"), 4000000000);
  EXPECT_EQ(meta.integer("k.i32"), -2000000000);
  EXPECT_EQ(meta.find("k.u64")->str(), "9223372036854775813");
  EXPECT_EQ(meta.integer("k.i64"), -(int64_t{1} << 62));
  EXPECT_EQ(meta.number("k.f32"), static_cast<double>(0.1f));
  EXPECT_EQ(meta.number("k.f64"), 0.1);
  EXPECT_TRUE(meta.flag("k.bool", false));
  EXPECT_EQ(meta.text("k.string"), "naïve ▁");
  EXPECT_THAT(meta.texts("k.strings"), ElementsAre("a", "", "▁b"));
  EXPECT_THAT(meta.integers("k.ints"), ElementsAre(1, -2, 3));
  EXPECT_THAT(meta.numbers("k.floats"), ElementsAre(0.5, -1.5));
  EXPECT_THAT(meta.integers("k.bools"), ElementsAre(1, 0));
  EXPECT_EQ(meta.find("k.ints")->str(2), "[1, -2, ... 3 in all]");
}

TEST(GgufTest, MissingAndWrongKeys) {
  const GgufReader file(golden());
  const GgufMetadata& meta = file.metadata();
  const std::string where = "gguf " + golden();
  EXPECT_EQ(meta.integer("none", 7), 7);
  EXPECT_TRUE(meta.texts("none").empty());
  EXPECT_EQ(error_of([&] { meta.integer("none"); }), where + ": key 'none' is missing");
  EXPECT_EQ(error_of([&] { meta.integer("k.f32"); }), where + ": k.f32 is f32, wanted an integer");
  EXPECT_EQ(error_of([&] { meta.text("k.ints"); }),
            where + ": k.ints is an array of i32, wanted a string");
  EXPECT_EQ(error_of([&] { meta.flag("k.u8", true); }), where + ": k.u8 is u8, wanted a bool");
  EXPECT_EQ(error_of([&] { meta.integer("k.u64"); }),
            where + ": k.u64 is 9223372036854775813, wanted at most 9223372036854775807");
}

TEST(GgufTest, OneValueForAllLayers) {
  GgufMetadata meta("m");
  meta.set_u32("one", 4);
  meta.set_i32s("same", {4, 4, 4});
  meta.set_i32s("other", {4, 8});
  meta.set_i32s("empty", {});
  EXPECT_EQ(meta.uniform("one"), 4);
  EXPECT_EQ(meta.uniform("same"), 4);
  EXPECT_EQ(meta.uniform("none", 7), 7);
  for (const std::string key : {"other", "empty"}) {
    EXPECT_EQ(error_of([&] { meta.uniform(key); }),
              "m: " + key +
                  " is an array of i32, wanted an integer, or one for each layer, all "
                  "equal");
  }
}

TEST(GgufTest, ReadsTensorsOutermostDimFirst) {
  const GgufReader file(golden());
  EXPECT_THAT(file.names(), ElementsAre("f32", "f16", "q8_0", "stack"));
  const Tensor f32 = file.tensor("f32");
  EXPECT_EQ(f32.shape(), (Shape{2, 3}));
  EXPECT_EQ(f32.as<float>()[4], 4.0f);
  EXPECT_EQ(file.tensor("stack").shape(), (Shape{2, 3, 4}));
  EXPECT_EQ(file.tensor("stack").as<int32_t>()[23], 23);
  EXPECT_EQ(to_float(file.tensor("f16").as<f16>()[3]), 3.0f);
  const Tensor blocks = file.tensor("q8_0");
  EXPECT_EQ(blocks.dtype(), DType::kQ8_0);
  EXPECT_EQ(blocks.shape(), (Shape{2, 64}));
  EXPECT_EQ(blocks.data()[135], std::byte{135});
  EXPECT_EQ(file.data_bytes(), 24 + 10 + 136 + 96);
  EXPECT_EQ(error_of([&] { file.tensor("f33"); }),
            "gguf " + golden() + ": there is no tensor 'f33'; the nearest name is 'f32'");
}

// What was read, written again: the same bytes as the package gguf wrote.
TEST(GgufTest, WritesTheSameFile) {
  const TempDir dir;
  const GgufReader file(golden());
  std::vector<TensorSpec> tensors;
  for (const std::string& name : file.names()) tensors.push_back(file.entry(name));
  const std::string path = dir.path("copy.gguf");
  const FileRecord record = write_gguf(
      path, file.metadata(), tensors, [&](const TensorSpec& spec, const WriteBytes& write) {
        const Tensor tensor = file.tensor(spec.name);
        const std::span<const std::byte> bytes(tensor.data(), tensor.bytes());
        write(bytes.first(7));  // in pieces
        write(bytes.subspan(7));
      });
  EXPECT_EQ(read_file(path), read_file(golden()));
  EXPECT_EQ(record, record_file(dir.path(), "copy.gguf"));
}

TEST(GgufTest, WhatCannotBeWritten) {
  const TempDir dir;
  const std::string path = dir.path("x.gguf");
  GgufMetadata meta("gguf x");
  meta.set("general.architecture", "llama");
  const auto write = [&](const std::vector<TensorSpec>& tensors) {
    return error_of([&] {
      write_gguf(path, meta, tensors,
                 [](const TensorSpec&, const WriteBytes& out) { out(std::vector<std::byte>(8)); });
    });
  };
  EXPECT_EQ(write({{"a", DType::kF32, {2}}, {"a", DType::kF32, {2}}}),
            "gguf: cannot write tensor 'a': the name is taken");
  EXPECT_EQ(write({{"a", DType::kBool, {2}}}), "gguf: has no tensors of bool");
  EXPECT_EQ(write({{"a", DType::kQ4K, {2, 128}}}),
            "gguf: cannot write tensor 'a': its rows of 128 are no whole blocks of q4_k");
  EXPECT_EQ(write({{"a", DType::kF32, {}}}),
            "gguf: cannot write tensor 'a' of shape [], wanted 1 to 4 dims");
  EXPECT_EQ(write({{"a", DType::kF32, {3}}}),
            "gguf: tensor 'a' was given 8 bytes, its shape [3] has 12");
  EXPECT_EQ(error_of([&] { meta.set("general.architecture", "gpt2"); }),
            "gguf x: key 'general.architecture' appears twice");
  EXPECT_FALSE(is_file(path));  // nothing half done is left
  EXPECT_TRUE(list_directory(dir.path()).empty());
}

// A model in several files, as llama.cpp's gguf-split leaves them.
class GgufSplitTest : public ::testing::Test {
 protected:
  std::string path(int number) const {
    return folder_.path(fmt::format("m-{:05}-of-00003.gguf", number));
  }

  // Part `number` (from 1), saying that it is `says` of 3, with one tensor of that number.
  void write(int number, int says, const std::string& tensor, int64_t tensors = 3) const {
    GgufMetadata keys;
    keys.set_u32("split.no", says - 1);
    keys.set_u32("split.count", 3);
    keys.set_u32("split.tensors.count", tensors);
    if (number == 1) keys.set("general.architecture", "llama");
    const float value = static_cast<float>(number);
    write_gguf(path(number), keys, {{tensor, DType::kF32, {1}}},
               [&](const TensorSpec&, const WriteBytes& out) {
                 out(std::as_bytes(std::span(&value, 1)));
               });
  }

  TempDir folder_;
};

TEST_F(GgufSplitTest, ReadsAllParts) {
  write(1, 1, "a");
  write(2, 2, "b");
  write(3, 3, "c");
  const GgufReader file(path(1));
  EXPECT_EQ(file.metadata().text("general.architecture"), "llama");
  EXPECT_THAT(file.names(), ElementsAre("a", "b", "c"));
  EXPECT_THAT(file.files(), ElementsAre(path(1), path(2), path(3)));
  EXPECT_EQ(file.data_bytes(), 12);
  EXPECT_EQ(file.tensor("a").span<float>()[0], 1);
  EXPECT_EQ(file.tensor("c").span<float>()[0], 3);
  file.will_need("b");
  file.release("b");
  EXPECT_EQ(file.tensor("b").span<float>()[0], 2);
}

TEST_F(GgufSplitTest, NamesWhatIsWrong) {
  const auto fault = [&](int part) { return error_of([&] { GgufReader{path(part)}; }); };
  write(1, 1, "a");
  write(2, 2, "b");
  EXPECT_EQ(fault(1), fmt::format("gguf {}: part 3 of 3 is missing: {}", path(1), path(3)));
  EXPECT_EQ(fault(2), fmt::format("gguf {}: is part 2 of 3; open the first, {}", path(2), path(1)));
  write(3, 2, "c");
  EXPECT_EQ(fault(1), fmt::format("gguf {}: says it is part 2 of 3, wanted 3 of 3", path(3)));
  write(3, 3, "b");
  EXPECT_EQ(fault(1), fmt::format("gguf {}: tensor 'b' is in an earlier part too", path(3)));
  write(3, 3, "c");
  write(1, 1, "a", 4);
  EXPECT_EQ(fault(1), fmt::format("gguf {}: its 3 parts have 3 tensors, wanted 4", path(1)));
  write(1, 2, "a");
  EXPECT_EQ(fault(1), fmt::format("gguf {}: is part 2 of 3; its name has to end in "
                                  "-00002-of-00003.gguf",
                                  path(1)));
}

}  // namespace
}  // namespace ashlar::formats
