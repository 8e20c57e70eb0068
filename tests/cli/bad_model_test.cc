// Broken model folders: each gets one clear line and exit code 1, and no crash.
#include "ashlar/base/atomic_file.h"
#include "tests/cli/program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>

namespace ashlar::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class BadModelTest : public ::testing::Test {
 protected:
  std::string weights() const { return model_ + "/model.safetensors"; }
  std::string complaint_of_loading() {
    return complaint(ashlar({"logits", model_, "--ids", "1,2"}), 1);
  }
  // What follows the weight file's name.
  std::string complaint_of_weights() {
    const std::string start = fmt::format("ashlar: safetensors {}: ", weights()),
                      line = complaint_of_loading();
    EXPECT_TRUE(line.starts_with(start)) << line;
    return line.substr(std::min(start.size(), line.size()));
  }
  void change_config(const std::function<void(Json&)>& change) {
    Json json = Json::parse(read_file(model_ + "/config.json"));
    change(json);
    write_file(model_ + "/config.json", json.dump());
  }
  // Replaces the header by `text`, with its true length or another.
  void write_header(const std::string& text, std::optional<uint64_t> length = std::nullopt) {
    const uint64_t bytes = length.value_or(text.size());
    std::string file(8, '\0');
    std::memcpy(file.data(), &bytes, 8);
    write_file(weights(), file + text + std::string(64, '\0'));
  }

  testing::TempDir folder_;
  std::string model_ = copy_model("llama", folder_);
};

TEST_F(BadModelTest, NothingThere) {
  EXPECT_THAT(complaint(ashlar({"logits", "/no/model", "--ids", "1"}), 1),
              HasSubstr("ashlar: model /no/model: no such folder or file, and no such model in the "
                        "Hugging Face cache, "));
  remove_tree(weights());
  EXPECT_EQ(complaint_of_loading(), fmt::format("ashlar: {}: holds neither model.safetensors nor "
                                                "model.safetensors.index.json",
                                                model_));
  remove_tree(model_ + "/config.json");
  EXPECT_EQ(
      complaint_of_loading(),
      fmt::format("ashlar: model {} has no config.json; wanted a Hugging Face folder", model_));
}

TEST_F(BadModelTest, ATruncatedFile) {
  const int64_t bytes = file_size(weights());
  truncate_file(weights(), bytes - 1000);
  EXPECT_THAT(complaint_of_weights(),
              AllOf(HasSubstr("tensor 'model.layers.1.self_attn.v_proj.weight': data_offsets"),
                    HasSubstr("reach beyond the"),
                    HasSubstr("bytes of data in the file; is it truncated?")));
  truncate_file(weights(), 100);  // within the header
  EXPECT_THAT(complaint_of_weights(), HasSubstr("bytes in a file of 100; is it truncated?"));
  truncate_file(weights(), 0);
  EXPECT_EQ(complaint_of_weights(), "0 bytes are too few for a header");
}

TEST_F(BadModelTest, AHostileHeader) {
  write_header("{}", uint64_t{1} << 62);
  EXPECT_EQ(complaint_of_weights(),
            "a header of 4611686018427387904 bytes, at most 100000000 are allowed; is this a "
            "safetensors file?");
  write_header(std::string(100'000, '['));
  EXPECT_EQ(complaint_of_weights(), "the header does not start with '{'");
  write_header(
      "{\"a\": {\"dtype\": \"F32\", \"shape\": [4611686018427387904, 16], "
      "\"data_offsets\": [0, 64]}}");
  EXPECT_EQ(complaint_of_weights(), "tensor 'a': shape [4611686018427387904, 16] of F32 overflows");
  write_header("{\"a\": {\"dtype\": \"F32\", \"shape\": [16], \"data_offsets\": [64, 0]}}");
  EXPECT_EQ(complaint_of_weights(), "tensor 'a': data_offsets [64, 0] are reversed");
}

TEST_F(BadModelTest, AWrongDtype) {
  std::string file = read_file(weights());
  const size_t at = file.find("\"F32\"");
  ASSERT_NE(at, std::string::npos);
  file.replace(at, 5, "\"I32\"");  // the same size
  write_file(weights(), file);
  EXPECT_EQ(complaint_of_loading(),
            fmt::format("ashlar: model {}: the weights do not match config.json: tensor "
                        "'lm_head.weight' is i32, wanted f32, bf16 or f16",
                        model_));
}

TEST_F(BadModelTest, AConfigThatDoesNotMatchItsWeights) {
  change_config([](Json& json) { json["intermediate_size"] = 180; });
  EXPECT_THAT(complaint_of_loading(),
              HasSubstr("the weights do not match config.json: tensor "
                        "'model.layers.0.mlp.gate_proj.weight' has shape [176, 64], config.json "
                        "wants [180, 64]; "));
  change_config([](Json& json) {
    json["intermediate_size"] = 176;
    json["num_hidden_layers"] = 3;
  });
  EXPECT_THAT(complaint_of_loading(),
              HasSubstr("tensor 'model.layers.2.input_layernorm.weight' [64] is missing"));
}

TEST_F(BadModelTest, AConfigThatIsNotOne) {
  change_config([](Json& json) { json["hidden_size"] = "wide"; });
  EXPECT_THAT(complaint_of_loading(),
              HasSubstr("config.json: hidden_size is \"wide\", wanted an integer from 1 to "));
  change_config([](Json& json) { json["hidden_size"] = int64_t{1} << 40; });
  EXPECT_THAT(complaint_of_loading(),
              HasSubstr("config.json: hidden_size is 1099511627776, wanted an integer from 1 to "));
  change_config([](Json& json) { json["model_type"] = "gronk"; });
  EXPECT_THAT(complaint_of_loading(), AllOf(HasSubstr("gronk"), HasSubstr("llama")));
  write_file(model_ + "/config.json", std::string(100'000, '['));
  EXPECT_THAT(complaint_of_loading(), HasSubstr("config.json:1:65: nested deeper than 64 levels"));
  write_file(model_ + "/config.json", "{\"model_type\": ");
  EXPECT_THAT(complaint_of_loading(), HasSubstr("config.json:1"));
  write_file(model_ + "/config.json", std::string((16 << 20) + 1, ' '));
  EXPECT_THAT(complaint_of_loading(), HasSubstr("16777217 bytes, at most 16777216 are allowed"));
}

// What others wrote is shown on one line, cut, and without what would steer a terminal.
TEST_F(BadModelTest, AConfigOfLongOrStrangeText) {
  const std::string text(100'000, 'w'), config = read_file(model_ + "/config.json");
  for (const char* key : {"hidden_size", "model_type", "hidden_act", "dtype", "rope_theta"}) {
    change_config([&](Json& json) { json[key] = text; });
    EXPECT_THAT(complaint_of_loading(), AllOf(HasSubstr(key), HasSubstr("www..."))) << key;
    EXPECT_LT(complaint_of_loading().size(), 800u) << key;
    write_file(model_ + "/config.json", config);
  }
  change_config([](Json& json) { json["model_type"] = "a\n\x1b[3mb"; });
  EXPECT_THAT(complaint_of_loading(), HasSubstr("model_type 'a\\x0a\\x1b[3mb' is not known"));
  write_file(model_ + "/config.json", "{\"a\": \"\xff\"}");
  EXPECT_THAT(complaint_of_loading(), HasSubstr("ill-formed UTF-8 byte; last read: '\"\\xff'"));
}

TEST_F(BadModelTest, ABrokenTokenizer) {
  write_file(model_ + "/tokenizer.json", "{\"model\": {\"type\": \"Gronk\"}}");
  EXPECT_THAT(complaint(ashlar({"run", model_, "text"}), 1),
              HasSubstr("tokenizer.json: model.type: unknown model type \"Gronk\"; known are BPE, "
                        "Unigram, WordLevel, WordPiece"));
  remove_tree(model_ + "/tokenizer.json");
  EXPECT_THAT(complaint(ashlar({"run", model_, "text"}), 1),
              HasSubstr("give token ids (--ids) instead of text"));
}

}  // namespace
}  // namespace ashlar::cli
