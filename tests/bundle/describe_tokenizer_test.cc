// Tokenizers of byte-level BPE in the forms that published models have, written as GGUF.
#include "ashlar/base/atomic_file.h"
#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/bundle/bundle.h"
#include "ashlar/bundle/gguf_tokenizer.h"
#include "tests/base/temp_dir.h"
#include "tests/bundle/model_files.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace ashlar::bundle {
namespace {

using ashlar::testing::model_folder;
using ashlar::testing::read_tensors;
using ashlar::testing::TempDir;
using ashlar::testing::write_model;
using nlohmann::json;

json split(const std::string& pattern) {
  return {{"type", "Split"},
          {"pattern", {{"Regex", pattern}}},
          {"behavior", "Isolated"},
          {"invert", false}};
}

json bytes(bool use_regex) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", true},
          {"use_regex", use_regex}};
}

json sequence(const std::vector<json>& steps) {
  return {{"type", "Sequence"}, {"pretokenizers", steps}};
}

// The metadata of a file made of the GPT-2 fixture with another pre-tokenizer.
formats::GgufMetadata metadata_with(const json& pre_tokenizer) {
  const TempDir folder;
  write_model(folder.path("model"), read_file(model_folder("gpt2") + "/config.json"),
              read_tensors(model_folder("gpt2")));
  json tokenizer = json::parse(read_file(model_folder("gpt2") + "/tokenizer.json"));
  tokenizer["pre_tokenizer"] = pre_tokenizer;
  write_file(folder.path("model/tokenizer.json"), tokenizer.dump());
  formats::GgufMetadata metadata("m");
  describe_tokenizer(Bundle::open(folder.path("model")), metadata);
  return metadata;
}

std::string name_of(const json& pre_tokenizer) {
  return metadata_with(pre_tokenizer).text("tokenizer.ggml.pre");
}

TEST(DescribeTokenizer, FormsThatGgufSpellsOtherwise) {
  EXPECT_EQ(name_of(bytes(true)), "gpt-2");
  EXPECT_EQ(name_of(sequence({{{"type", "Digits"}, {"individual_digits", true}}, bytes(true)})),
            "starcoder");
  // Falcon.
  EXPECT_EQ(name_of(sequence({{{"type", "Punctuation"}, {"behavior", "Contiguous"}},
                              bytes(true),
                              {{"type", "Digits"}, {"individual_digits", false}},
                              split("[0-9][0-9][0-9]")})),
            "falcon");
  // DeepSeek-V3, with characters where the table has their numbers.
  EXPECT_EQ(
      name_of(sequence(
          {split(R"(\p{N}{1,3})"), split("[一-龥぀-ゟ゠-ヿ]+"),
           split(
               R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"),
           bytes(false)})),
      "deepseek-v3");
  // BLOOM: a set inside of a set.
  EXPECT_EQ(name_of(sequence({split(R"( ?[^(\s|[.,!?…。，、।۔،])]+)"), bytes(false)})),
            "poro-chat");
}

TEST(DescribeTokenizer, WhatNoNameCutsLikeIsRefused) {
  EXPECT_THROW(name_of(sequence({split("[aeiou]+"), bytes(false)})), Error);
  json removed = split(" ");
  removed["behavior"] = "Removed";
  EXPECT_THROW(name_of(sequence({removed, bytes(true)})), Error);
}

}  // namespace
}  // namespace ashlar::bundle
