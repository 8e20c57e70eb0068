// Damaged and hostile tokenizer.json files: each gives one clear Error that names the place.
#include "ashlar/base/error.h"
#include "ashlar/text/tokenizer.h"
#include "tests/text/random_text.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <fstream>

namespace ashlar::text {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;

Json whole() {
  return Json::parse(R"({
    "version": "1.0", "truncation": null, "padding": null,
    "added_tokens": [{"id": 0, "content": "<s>", "special": true}],
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}]},
    "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "\\s+"}, "behavior": "Isolated"},
    "post_processor": {"type": "TemplateProcessing",
      "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A"}}],
      "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}}},
    "decoder": {"type": "Strip", "content": " ", "start": 1, "stop": 0},
    "model": {"type": "BPE", "unk_token": "<s>", "vocab": {"<s>": 0, "a": 1, "b": 2, "ab": 3},
      "merges": [["a", "b"]]}})");
}

// The message of the Error that loading gives.
std::string error_of(std::string_view text) {
  try {
    Tokenizer::from_json(text, "t.json");
  } catch (const Error& error) {
    return error.what();
  }
  return "no Error";
}

// Loads the whole file with the value at `pointer` replaced.
std::string error_with(const std::string& pointer, Json value) {
  Json json = whole();
  json[Json::json_pointer(pointer)] = std::move(value);
  return error_of(json.dump());
}

TEST(HostileTokenizer, TheWholeFileLoads) {
  EXPECT_EQ(error_of(whole().dump()), "no Error");
  const Tokenizer tokenizer = Tokenizer::from_json(whole().dump(), "t.json");
  EXPECT_EQ(tokenizer.encode("ab a", true), (std::vector<int32_t>{0, 3, 0, 1}));
}

TEST(HostileTokenizer, NotJson) {
  EXPECT_THAT(error_of(""), HasSubstr("t.json: byte"));
  EXPECT_THAT(error_of("\xFF\xFE"), HasSubstr("not JSON"));
  EXPECT_THAT(error_of(whole().dump().substr(0, 200)), HasSubstr("not JSON"));
  EXPECT_THAT(error_of("[]"), HasSubstr("t.json: found an array, wanted an object"));
  EXPECT_THAT(error_of("{}"), HasSubstr("t.json: key \"model\" is missing"));
  EXPECT_THAT(error_of("{\"model\": 1e999}"), HasSubstr("t.json: not JSON that can be read"));
}

TEST(HostileTokenizer, DeepNesting) {
  const std::string deep = std::string(1'000'000, '[');
  EXPECT_THAT(error_of(deep), HasSubstr("nests deeper than 64 levels"));
  Json normalizer = {{"type", "NFC"}};
  for (int i = 0; i < 40; ++i) {
    normalizer = {{"type", "Sequence"}, {"normalizers", Json::array({normalizer})}};
  }
  EXPECT_THAT(error_with("/normalizer", normalizer), HasSubstr("nests deeper"));
}

TEST(HostileTokenizer, UnknownTypesListTheKnown) {
  EXPECT_THAT(error_with("/normalizer/normalizers/0/type", "NFX"),
              HasSubstr("t.json: normalizer.normalizers[0].type: unknown normalizer type \"NFX\"; "
                        "known are BertNormalizer, "));
  EXPECT_THAT(error_with("/pre_tokenizer/type", "X"), HasSubstr("unknown pre_tokenizer type"));
  EXPECT_THAT(error_with("/post_processor/type", "X"), HasSubstr("unknown post_processor type"));
  EXPECT_THAT(error_with("/decoder/type", "X"), HasSubstr("unknown decoder type"));
  EXPECT_THAT(error_with("/model/type", "X"),
              HasSubstr("model.type: unknown model type \"X\"; known are BPE, Unigram, WordLevel"));
}

TEST(HostileTokenizer, WrongKindsAndMissingKeys) {
  EXPECT_THAT(error_with("/model/vocab", 5), HasSubstr("model.vocab: found 5, wanted an object"));
  EXPECT_THAT(error_with("/model/vocab/a", "x"), HasSubstr("model.vocab.a: found \"x\", wanted"));
  EXPECT_THAT(error_with("/model/merges", Json::object()),
              HasSubstr("model.merges: found an object, wanted an array"));
  EXPECT_THAT(error_with("/model/merges/0", 7), HasSubstr("model.merges[0]: found 7"));
  EXPECT_THAT(error_with("/model/merges/0/1", 7), HasSubstr("model.merges[0][1]: found 7, wanted"));
  EXPECT_THAT(error_with("/model/dropout", 0.1), HasSubstr("model.dropout: dropout makes ids"));
  EXPECT_THAT(error_with("/decoder/content", "ab"), HasSubstr("wanted one character"));
  EXPECT_THAT(error_with("/decoder/start", -1), HasSubstr("decoder.start: found -1, wanted"));
  EXPECT_THAT(error_with("/pre_tokenizer/behavior", "Odd"), HasSubstr("unknown behavior \"Odd\""));
  EXPECT_THAT(error_with("/pre_tokenizer/pattern", Json::object()), HasSubstr("\"String\" or"));
  EXPECT_THAT(error_with("/pre_tokenizer/pattern/Regex", "(a"),
              HasSubstr("pre_tokenizer.pattern.Regex: pattern \"(a\" is not a regular expression"));
  EXPECT_THAT(error_with("/post_processor/single/0/SpecialToken/id", "<x>"),
              HasSubstr("is not in special_tokens"));
  EXPECT_THAT(error_with("/post_processor/single/1/Sequence/id", "B"), HasSubstr("wanted \"A\""));
  EXPECT_THAT(error_with("/truncation", Json::object()), HasSubstr("\"max_length\" is missing"));
  EXPECT_THAT(error_with("/padding", {{"strategy", "Odd"}}), HasSubstr("padding.strategy"));
  for (const char* key : {"vocab", "merges"}) {
    Json json = whole();
    json["model"].erase(key);
    EXPECT_THAT(error_of(json.dump()), HasSubstr(fmt::format("key \"{}\" is missing", key)));
  }
}

TEST(HostileTokenizer, HugeAndFractionalNumbers) {
  EXPECT_THAT(error_with("/model/vocab/a", 4'000'000'000u), HasSubstr("found 4000000000, wanted"));
  EXPECT_THAT(error_with("/model/vocab/a", UINT64_MAX), HasSubstr("wanted a whole number from 0"));
  EXPECT_THAT(error_with("/model/vocab/a", -1), HasSubstr("found -1"));
  EXPECT_THAT(error_with("/model/vocab/a", 1.5), HasSubstr("found 1.5"));
  // One token with a huge id may not cost huge memory.
  EXPECT_THAT(error_with("/model/vocab/a", 10'000'000), HasSubstr("found 10000000, wanted"));
  EXPECT_THAT(error_with("/added_tokens/0/id", 1 << 30), HasSubstr("added_tokens[0].id: found"));
  EXPECT_THAT(error_with("/padding", {{"strategy", {{"Fixed", 1e15}}}, {"pad_id", 0}}),
              HasSubstr("padding.strategy.Fixed: found"));
}

TEST(HostileTokenizer, IdsThatContradictEachOther) {
  EXPECT_THAT(error_with("/model/vocab/b", 1),
              HasSubstr("model.vocab.b: id 1 is already that of token \"a\""));
  EXPECT_THAT(error_with("/added_tokens/0/id", 9),
              HasSubstr("added_tokens[0]: token \"<s>\" has id 9 here and 0 in model.vocab"));
  EXPECT_THAT(error_with("/added_tokens/0", {{"id", 1}, {"content", "<x>"}}),
              HasSubstr("id 1 of token \"<x>\" is that of \"a\" in model.vocab"));
  Json json = whole();
  json["added_tokens"].push_back({{"id", 7}, {"content", "<z>"}});
  json["added_tokens"].push_back({{"id", 7}, {"content", "<z>"}});  // the same once more
  json["added_tokens"].push_back({{"id", 9}, {"content", ""}});
  EXPECT_EQ(error_of(json.dump()), "no Error");
  json["added_tokens"].push_back({{"id", 8}, {"content", "<z>"}});
  EXPECT_THAT(error_of(json.dump()), HasSubstr("token \"<z>\" is there twice"));
  json = whole();
  json["added_tokens"].push_back({{"id", 7}, {"content", "<x>"}});
  json["added_tokens"].push_back({{"id", 7}, {"content", "<y>"}});
  EXPECT_THAT(error_of(json.dump()), HasSubstr("id 7 is already that of token \"<x>\""));
}

TEST(HostileTokenizer, MergesThatDoNotFitTheVocabulary) {
  EXPECT_THAT(error_with("/model/merges/0/0", "z"),
              HasSubstr("model.merges[0]: token \"z\" is not in the vocabulary"));
  EXPECT_THAT(error_with("/model/merges/1", {"b", "a"}),
              HasSubstr("model.merges[1]: token \"ba\" is not in the vocabulary"));
  EXPECT_THAT(error_with("/model/merges/0", "a  b"), HasSubstr("wanted two tokens with one space"));
  EXPECT_THAT(error_with("/model/merges/0", {"a"}), HasSubstr("wanted two tokens, found 1"));
}

TEST(HostileTokenizer, MergesInACircleCannotLoop) {
  // The empty token would let "a" merge into itself for ever.
  Json json = whole();
  json["model"]["vocab"][""] = 4;
  json["model"]["merges"] = Json::parse(R"([["a", ""], ["", "a"]])");
  EXPECT_THAT(error_of(json.dump()), HasSubstr("token \"\" is not in the vocabulary"));
  // With a prefix that is cut away, a merge can yield its own left part: it still takes one symbol.
  json = whole();
  json["model"]["continuing_subword_prefix"] = "#";
  json["model"]["vocab"] = {{"<s>", 0}, {"a", 1}, {"#", 2}, {"##", 3}};
  json["model"]["merges"] = Json::parse(R"([["a", "#"], ["#", "#"]])");
  const Tokenizer tokenizer = Tokenizer::from_json(json.dump(), "t.json");
  EXPECT_EQ(tokenizer.encode("a" + std::string(100, '#'), false).front(), 1);
}

TEST(HostileTokenizer, AWordLevelModelWithoutItsUnknownToken) {
  const Json model = {{"type", "WordLevel"}, {"vocab", {{"a", 1}}}, {"unk_token", "?"}};
  Json json = whole();
  json["model"] = model;
  json["added_tokens"] = Json::array();
  const Tokenizer tokenizer = Tokenizer::from_json(json.dump(), "t.json");
  EXPECT_THROW(tokenizer.encode("zz", false), Error);
}

TEST(HostileTokenizer, AFileThatIsNotThere) {
  EXPECT_THROW(Tokenizer::from_json_file("/no/such/tokenizer.json"), Error);
  const Tokenizer tokenizer = Tokenizer::from_json(whole().dump(), "t.json");
  EXPECT_THROW(tokenizer.save("/no/such/folder/tokenizer.json"), Error);
}

// Every byte of a real file damaged in turn, and random damage: an Error or a tokenizer that works.
TEST(HostileTokenizer, DamagedFilesNeverCrash) {
  const std::string good = whole().dump();
  RandomText random("damage");
  int loaded = 0;
  for (size_t i = 0; i < 6000; ++i) {
    std::string text = good;
    const size_t at = i < good.size() ? i : random.below(good.size());
    switch (random.below(4)) {
      case 0:
        text.erase(at, 1 + random.below(20));
        break;
      case 1:
        text.insert(at, text.substr(random.below(good.size()), random.below(30)));
        break;
      case 2:
        text[at] = "0123456789{}[]\",:ab-e."[random.below(22)];
        break;
      default:
        text[at] = static_cast<char>(random.below(256));
    }
    try {
      const Tokenizer tokenizer = Tokenizer::from_json(text, "t.json");
      tokenizer.decode(tokenizer.encode("a b<s>ab \xC3\xA4", true), false);
      ++loaded;
    } catch (const Error&) {
    }
  }
  EXPECT_GT(loaded, 100);  // damage inside strings and numbers is not always fatal
}

// Each rule doubles the text, alone or in sequences within each other.
TEST(HostileTokenizer, RulesThatMakeTextsGrowWithoutEnd) {
  const Json doubled{{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", "aa"}};
  const std::vector<Json> many(60, doubled);
  Json nested{{"type", "Sequence"}, {"normalizers", many}};
  for (int i = 0; i < 10; ++i) {
    std::vector<Json> steps(15, doubled);
    steps.push_back(nested);
    nested = {{"type", "Sequence"}, {"normalizers", steps}};
  }
  const auto fault = [](const std::string& pointer, const Json& value) {
    Json json = whole();
    json[Json::json_pointer(pointer)] = value;
    const Tokenizer tokenizer = Tokenizer::from_json(json.dump(), "t.json");
    try {
      tokenizer.encode("ab a", false);
      tokenizer.decode(std::vector<int32_t>{1}, false);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("no Error");
  };
  EXPECT_THAT(fault("/normalizer/normalizers", many), HasSubstr("normalizer Sequence makes"));
  EXPECT_THAT(fault("/normalizer", nested), HasSubstr("normalizer Sequence makes"));
  EXPECT_THAT(fault("/normalizer", {{"type", "Replace"},
                                    {"pattern", {{"String", ""}}},
                                    {"content", std::string(400'000, 'y')}}),
              HasSubstr("Replace makes"));
  EXPECT_THAT(fault("/decoder", {{"type", "Sequence"}, {"decoders", many}}),
              HasSubstr("decoder Replace makes 8388608 bytes of a token of 4194304"));
}

}  // namespace
}  // namespace ashlar::text
