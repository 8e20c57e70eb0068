#include "ashlar/serve/backend.h"
#include "ashlar/serve/protocol/fields.h"
#include "ashlar/serve/protocol/json_value.h"

#include <gtest/gtest.h>

namespace ashlar::serve {
namespace {

std::string error_of(const std::string& text, const JsonLimits& limits = {}) {
  try {
    parse_json(text, limits);
  } catch (const RequestError& error) {
    EXPECT_EQ(error.fault().kind, FaultKind::kInvalid);
    return error.what();
  }
  return "";
}

TEST(ProtocolJson, RefusesWithPlaceAndReason) {
  struct Case {
    std::string text, wanted;
  };
  const std::vector<Case> cases = {
      {"", "the body is empty"},
      {" \r\n", "the body is empty"},
      {"{\"a\": 1,}", "at byte 9"},
      {"{\"a\": }", "at byte 7"},
      {"{\"a\" 1}", "at byte 6"},
      {"{\"a\": 1} x", "at byte 10"},
      {"{\"a\": NaN}", "at byte 7"},
      {"{\"a\": Infinity}", "at byte 7"},
      {"{\"a\": 1e999}", "at byte 11: number overflow"},
      {"{\"a\": 01}", "at byte"},
      {"{'a': 1}", "at byte 2"},
      {"{\"a\": \"\xff\"}", "invalid string"},
      {"{\"a\": \"\xed\xa0\x80\"}", "invalid string"},
      {"{\"a\": \"\\ud800\"}", "surrogate"},
      {"{\"a\": \"\n\"}", "control character"},
      {"{\"a\": \"never ends", "at byte"},
      {"{\"a\": 1, \"a\": 2}", "duplicate key \"a\""},
      {"{\"o\": {\"b\": 1, \"\\u0062\": 2}}", "duplicate key \"b\""},
      {"[1, 2", "at byte 6"},
      {"// no\n{}", "at byte 1"},
  };
  for (const Case& c : cases) {
    EXPECT_NE(error_of(c.text).find(c.wanted), std::string::npos)
        << c.text << " gave: " << error_of(c.text);
  }
}

TEST(ProtocolJson, BoundsDepthAndMembers) {
  const auto nested = [](size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  EXPECT_EQ(error_of(nested(64)), "");
  EXPECT_NE(error_of(nested(65)).find("deeper than 64"), std::string::npos);
  EXPECT_NE(error_of(std::string(1'000'000, '[')).find("deeper"), std::string::npos);
  std::string wide = "[";
  for (int i = 0; i < 20; ++i) wide += "[],";
  wide += "0]";
  EXPECT_EQ(error_of(wide, {.depth = 3, .members = 21}), "");
  EXPECT_NE(error_of(wide, {.depth = 3, .members = 20}).find("more than 20"), std::string::npos);
}

TEST(ProtocolJson, WritesWhatItReads) {
  const std::string text =
      R"({"a":[1,-2,0.5,true,null,"x\n\"\u0001"],"b":{"z":1,"y":{}},"c":"é€😀","d":[]})";
  EXPECT_EQ(to_text(parse_json(text)), text);
  EXPECT_EQ(to_text(parse_json("9223372036854775807")), "9223372036854775807");
  EXPECT_EQ(to_text(parse_json("-9223372036854775808")), "-9223372036854775808");
}

TEST(ProtocolJson, WritesOnlyValidJson) {
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(to_text(JsonArray{std::string("a\xff") + "b", infinity, -0.25}),
            "[\"a\xEF\xBF\xBD"
            "b\",null,-0.25]");
}

TEST(ProtocolJson, FieldsNameFoundAndWanted) {
  const JsonValue value = parse_json(
      R"({"temperature": "hot", "n": 1.5, "big": 99999999999999999999, "stop": {}, "none": null})");
  const Fields fields(value, "body");
  const auto message = [](auto&& call) -> std::string {
    try {
      call();
    } catch (const RequestError& error) {
      return error.fault().param + " | " + error.what();
    }
    return "nothing thrown";
  };
  EXPECT_EQ(message([&] { fields.number("temperature", 0, 2); }),
            "body.temperature | body.temperature: found the string \"hot\", wanted a number from 0 "
            "to 2");
  EXPECT_EQ(message([&] { fields.integer("n", 1, 8); }),
            "body.n | body.n: found the number 1.5, wanted an integer from 1 to 8");
  EXPECT_EQ(message([&] { fields.integer("big", 1, 8); }),
            "body.big | body.big: found the number 1e+20, wanted an integer from 1 to 8");
  EXPECT_EQ(message([&] { fields.array("stop"); }),
            "body.stop | body.stop: found an object, wanted an array");
  EXPECT_EQ(message([&] { fields.refuse("gone", "a string"); }),
            "body.gone | body.gone: found nothing, wanted a string");
  EXPECT_EQ(message([&] { Fields(JsonValue(3)); }),
            "body | body: found the number 3, wanted an object");
  EXPECT_EQ(fields.number("none", 0, 1), std::nullopt);
  EXPECT_EQ(fields.string("absent"), std::nullopt);
}

}  // namespace
}  // namespace ashlar::serve
