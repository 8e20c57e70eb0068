// From configuration to rows.
#include "ashlar/data/dataset.h"

#include "ashlar/base/config.h"
#include "ashlar/base/file_writer.h"
#include "tests/base/messages.h"
#include "tests/base/temp_dir.h"
#include "tests/data/byte_encoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ashlar::data {
namespace {

using ashlar::testing::error_of;
using ashlar::testing::quick_folder;
using ashlar::testing::TempDir;
using testing::ByteEncoder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::spell;
using ::testing::StartsWith;

struct Config {
  DataConfig data;
  void bind(ConfigBinder& b) { b.section("data", data); }
};

class DatasetTest : public ::testing::Test {
 protected:
  DatasetTest() {
    config_.data.cache = dir_.path("cache");
    put("a.txt", "abcdefgh");
    put("b.txt", "ijklm");
    put("chat.jsonl", R"({"prompt": "ab", "completion": "cd"})"
                      "\n"
                      R"({"prompt": "x", "completion": "y"})");
  }
  void put(const std::string& name, const std::string& text) {
    FileWriter(dir_.path(name)).write(text);
  }
  Dataset train(int64_t seq = 4) { return Dataset::open_train(config_.data, seq, encoder_, pool_); }
  std::string error() {
    return error_of([&] { train(); });
  }
  // Rows in order: tokens|targets.
  std::vector<std::string> rows(const Dataset& data) {
    const BatchMaker maker = data.in_order({.batch = 1, .microbatch = 1});
    StepBatch step = maker.reserve();
    std::vector<std::string> shown;
    for (int64_t i = 0; i < maker.steps(); ++i) {
      maker.make(i, step);
      shown.push_back(spell(step.microbatches[0].tokens) + "|" +
                      spell(step.microbatches[0].targets));
    }
    return shown;
  }

  TempDir dir_{quick_folder()};
  Config config_;
  ByteEncoder encoder_;
  ThreadPool pool_{1};
};

TEST_F(DatasetTest, ReadsItsKeys) {
  ConfigTable table(config_);
  table.set("data.train=a.txt");
  EXPECT_THAT(config_.data.train, ElementsAre("a.txt"));
  table.load_text(R"([data]
train = ["a.txt:0.7", "b:0.3"]
valid = "v.jsonl"
packing = "documents"
isolate = true
extensions = ["h", "cc"]
bad_utf8 = "replace"
max_bytes = "8M")",
                  "c.toml");
  EXPECT_THAT(config_.data.train, ElementsAre("a.txt:0.7", "b:0.3"));
  EXPECT_THAT(config_.data.valid, ElementsAre("v.jsonl"));
  EXPECT_EQ(config_.data.packing, Packing::kDocuments);
  EXPECT_EQ(config_.data.isolate, true);
  EXPECT_EQ(config_.data.max_bytes, 8 << 20);
  EXPECT_EQ(config_.data.bad_utf8, BadUtf8::kReplace);
  EXPECT_THAT(error_of([&] { table.set("data.valid_share=0.7"); }),
              HasSubstr("0.7 is not between 0 and 0.5"));
}

TEST_F(DatasetTest, RefusesWhatDoesNotFitTogether) {
  EXPECT_EQ(error(), "config data.train: no text to learn from; give a file or folder");
  config_.data.train = {dir_.path("a.txt:1"), dir_.path("b.txt")};
  EXPECT_THAT(error(), HasSubstr("b.txt has no weight, others have one; write "));
  config_.data.train = {dir_.path("a.txt")};
  config_.data.packing = Packing::kDocuments;
  config_.data.isolate = false;
  EXPECT_THAT(error(), StartsWith("config data.isolate: false does not go with"));
  config_.data.packing = Packing::kAuto;
  config_.data.valid = {"v"};
  config_.data.valid_share = 0.1;
  EXPECT_THAT(error(), StartsWith("config data.valid_share: 0.1 of train is held out"));
  config_.data.valid.clear();
  config_.data.extensions = {"*.h"};
  EXPECT_EQ(error(), "config data.extensions: \"*.h\" is not a bare extension such as txt");
  config_.data.extensions.clear();
  config_.data.train = {dir_.path("none.txt")};
  EXPECT_EQ(error(), "data " + dir_.path("none.txt") + ": no such file or folder");
}

TEST_F(DatasetTest, TextIsAStreamAndAnswersAreDocuments) {
  config_.data.train = {dir_.path("a.txt")};
  EXPECT_THAT(rows(train()), ElementsAre("abcd|bcde", "efgh|fgh<e>"));
  config_.data.train = {dir_.path("chat.jsonl")};
  EXPECT_THAT(rows(train()), ElementsAre("abcd|_cd<e>", "xy<e><e>|y<e>__"));
  config_.data.packing = Packing::kStream;
  EXPECT_THAT(rows(train()), ElementsAre("abcd|_cd<e>", "<e>xy<e>|_y<e>_"));
  config_.data.packing = Packing::kAuto;
  config_.data.isolate = false;  // asks for a stream
  EXPECT_THAT(rows(train()), ElementsAre("abcd|_cd<e>", "<e>xy<e>|_y<e>_"));
}

// A book beside chats is read whole, though it is longer than a row.
TEST_F(DatasetTest, EachSourceOfABlendIsPackedAsItIs) {
  config_.data.train = {dir_.path("a.txt"), dir_.path("chat.jsonl")};
  EXPECT_THAT(rows(train()),
              ElementsAre("abcd|bcde", "efgh|fgh<e>", "abcd|_cd<e>", "xy<e><e>|y<e>__"));
  const uint64_t blend = train().fingerprint();
  config_.data.packing = Packing::kStream;
  config_.data.isolate = true;
  EXPECT_NE(train().fingerprint(), blend);
  config_.data.packing = Packing::kDocuments;
  EXPECT_THAT(rows(train()), ElementsAre("abcd|bcde", "abcd|_cd<e>", "xy<e><e>|y<e>__"));
  EXPECT_NE(train().fingerprint(), blend);
}

TEST_F(DatasetTest, HoldsOutAShareOfTheDocuments) {
  std::string lines;
  for (int i = 0; i < 10; ++i) lines += fmt::format("{{\"text\": \"{}\"}}\n", i);
  put("t.jsonl", lines);
  config_.data.train = {dir_.path("t.jsonl")};
  EXPECT_FALSE(Dataset::has_valid(config_.data));
  config_.data.valid_share = 0.1;
  ASSERT_TRUE(Dataset::has_valid(config_.data));
  const Dataset held = Dataset::open_valid(config_.data, 4, encoder_, pool_);
  EXPECT_THAT(rows(held), ElementsAre("9<e><e><e>|<e>___"));
  EXPECT_EQ(train().tokens(), 18);
  EXPECT_EQ(train().text_bytes(), 9);
  config_.data.train = {dir_.path("a.txt")};  // one document: train has it
  EXPECT_THAT(error_of([&] { Dataset::open_valid(config_.data, 4, encoder_, pool_); }),
              HasSubstr("validate on once data.valid_share = 0.1 is held out"));
  config_.data.valid_share = 0;
  config_.data.valid = {dir_.path("b.txt")};
  EXPECT_THAT(rows(Dataset::open_valid(config_.data, 4, encoder_, pool_)),
              ElementsAre("ijkl|jklm", "m<e><e><e>|<e>___"));
}

TEST_F(DatasetTest, TheFingerprintChangesWithWhateverChangesRows) {
  std::set<uint64_t> seen;
  config_.data.train = {dir_.path("a.txt")};
  seen.insert(train(4).fingerprint());
  EXPECT_EQ(seen.count(train(4).fingerprint()), 1u);
  seen.insert(train(5).fingerprint());
  config_.data.isolate = true;
  seen.insert(train(4).fingerprint());
  config_.data.packing = Packing::kDocuments;
  seen.insert(train(4).fingerprint());
  config_.data.train.push_back(dir_.path("b.txt"));
  seen.insert(train(4).fingerprint());
  config_.data.train = {dir_.path("a.txt:1"), dir_.path("b.txt:1")};
  seen.insert(train(4).fingerprint());
  config_.data.train = {dir_.path("a.txt:1"), dir_.path("b.txt:2")};
  seen.insert(train(4).fingerprint());
  put("a.txt", "abcdefgX");
  seen.insert(train(4).fingerprint());
  EXPECT_EQ(seen.size(), 8u);
}

}  // namespace
}  // namespace ashlar::data
