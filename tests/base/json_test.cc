#include "ashlar/base/json.h"

#include "ashlar/base/atomic_file.h"
#include "tests/base/messages.h"
#include "tests/base/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace ashlar {
namespace {

using ashlar::testing::error_of;
using ashlar::testing::TempDir;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string error(std::string_view text, int depth = 64) {
  return error_of([&] { parse_json<nlohmann::json>(text, "x.json", depth); });
}

TEST(JsonTest, Parses) {
  const nlohmann::json json =
      parse_json<nlohmann::json>(R"({"a": [1, 2.5, "\u00e9"], "b": {}})", "x.json");
  EXPECT_EQ(json["a"][1], 2.5);
  EXPECT_EQ(json["a"][2], "é");
  EXPECT_TRUE(json["b"].empty());
}

TEST(JsonTest, SyntaxErrorsHaveAPlace) {
  EXPECT_THAT(error("{\n  \"a\": 1,\n  }"), StartsWith("x.json:3:3: syntax error"));
  EXPECT_THAT(error(""), StartsWith("x.json:1:1: syntax error"));
  EXPECT_THAT(error("[1, 2"), StartsWith("x.json:1:6: syntax error"));
  EXPECT_THAT(error("\"\xff\""), HasSubstr("UTF-8"));
  EXPECT_THAT(error("1e999"), StartsWith("x.json: number overflow"));
  EXPECT_EQ(error(std::string_view("{}\0", 3)), "x.json:1:3: a NUL byte");
  EXPECT_LT(error("[" + std::string(100000, 'x')).size(), 300u);
}

TEST(JsonTest, DepthIsBounded) {
  EXPECT_EQ(error("[[]]", 2), "(no error)");
  EXPECT_EQ(error("[\n[[]]]", 2), "x.json:2:2: nested deeper than 2 levels");
  EXPECT_EQ(error(R"(["[[[[\"[[[[", {"[": 1}])", 2), "(no error)");
  EXPECT_EQ(error(std::string(100000, '{')), "x.json:1:65: nested deeper than 64 levels");
}

TEST(JsonTest, ReadsFiles) {
  const TempDir dir;
  write_file(dir.path("x"), "[3]");
  EXPECT_EQ(read_json<nlohmann::json>(dir.path("x"))[0], 3);
  write_file(dir.path("x"), "[3");
  EXPECT_THAT(error_of([&] { read_json<nlohmann::json>(dir.path("x")); }),
              StartsWith(dir.path("x") + ":1:3: "));
}

}  // namespace
}  // namespace ashlar
