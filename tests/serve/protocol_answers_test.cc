#include "ashlar/base/version.h"
#include "ashlar/serve/protocol/chat.h"
#include "ashlar/serve/protocol/completions.h"
#include "ashlar/serve/protocol/embeddings.h"
#include "ashlar/serve/protocol/errors.h"
#include "ashlar/serve/protocol/logprob_text.h"
#include "ashlar/serve/protocol/status.h"
#include "ashlar/serve/protocol/tokenize.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

namespace ashlar::serve {
namespace {

const AnswerHead kHead = {"id-1", "tiny", 1700000000, "fp"};
const Usage kUsage = {5, 2, 4};
const std::string kUsageText = R"({"prompt_tokens":5,"completion_tokens":2,"total_tokens":7,)"
                               R"("prompt_tokens_details":{"cached_tokens":4}})";

GenerateCall completion(const std::string& fields) {
  return parse_completion(R"({"prompt": "x")" + fields + "}", {});
}
GenerateCall chat(const std::string& fields) {
  return parse_chat(R"({"messages": [{"role": "user", "content": "x"}])" + fields + "}", {});
}

Logprob logprob(const std::string& bytes, std::optional<double> value,
                std::vector<TopToken> top = {}) {
  return {1, bytes, value, std::move(top)};
}

TEST(ProtocolAnswers, WholeCompletion) {
  const std::vector<Choice> choices = {{" a\"b", {1, 2}, {}, FinishReason::kStop},
                                       {"c", {3}, {}, FinishReason::kLength}};
  EXPECT_EQ(completion("").format->whole(kHead, choices, kUsage),
            R"({"id":"id-1","object":"text_completion","created":1700000000,"model":"tiny",)"
            R"("system_fingerprint":"fp","choices":[)"
            R"({"index":0,"text":" a\"b","logprobs":null,"finish_reason":"stop"},)"
            R"({"index":1,"text":"c","logprobs":null,"finish_reason":"length"}],"usage":)" +
                kUsageText + "}");
}

TEST(ProtocolAnswers, CompletionChunks) {
  const GenerateCall call =
      completion(R"(, "stream": true, "stream_options": {"include_usage": true})");
  const std::string start =
      R"({"id":"id-1","object":"text_completion","created":1700000000,"model":"tiny",)"
      R"("system_fingerprint":"fp","choices":[)";
  EXPECT_EQ(call.format->opening(kHead, 0), "");
  EXPECT_EQ(
      call.format->piece(kHead, {1, "é", {7}, {}}, 0),
      start + R"({"index":1,"text":"é","logprobs":null,"finish_reason":null}],"usage":null})");
  EXPECT_EQ(call.format->ending(kHead, 1, FinishReason::kLength),
            start + R"({"index":1,"text":"","logprobs":null,"finish_reason":"length"}],)"
                    R"("usage":null})");
  EXPECT_EQ(call.format->usage(kHead, kUsage), start + R"(],"usage":)" + kUsageText + "}");
}

TEST(ProtocolAnswers, CompletionLogprobs) {
  const GenerateCall call = completion(R"(, "logprobs": 2)");
  const double infinity = std::numeric_limits<double>::infinity();
  const std::vector<Choice> choices = {
      {"héy",
       {1, 2, 3},
       {logprob("h", std::nullopt),
        logprob("\xc3", -0.5, {{1, "\xc3", -0.5}, {2, "e", -1}, {3, "e", -7}}),
        logprob("\xa9y", -infinity)},
       FinishReason::kStop}};
  const std::string body = call.format->whole(kHead, choices, kUsage);
  EXPECT_NE(body.find(R"("logprobs":{"text_offset":[0,1,2],"token_logprobs":[null,-0.5,-9999],)"
                      R"("tokens":["h","bytes:\\xc3","bytes:\\xa9\\x79"],)"
                      R"("top_logprobs":[null,{"bytes:\\xc3":-0.5,"e":-1},{}]})"),
            std::string::npos)
      << body;
  // In a stream, offsets go on from what was sent.
  EXPECT_NE(call.format->piece(kHead, {0, "ab", {1}, {logprob("ab", -1)}}, 10)
                .find(R"("text_offset":[10])"),
            std::string::npos);
}

TEST(ProtocolAnswers, WholeChat) {
  const std::vector<Choice> choices = {
      {"hi", {1, 2}, {logprob("hi", -0.25, {{1, "hi", -0.25}})}, FinishReason::kStop}};
  EXPECT_EQ(chat(R"(, "logprobs": true, "top_logprobs": 1)").format->whole(kHead, choices, kUsage),
            R"({"id":"id-1","object":"chat.completion","created":1700000000,"model":"tiny",)"
            R"("system_fingerprint":"fp","choices":[{"index":0,)"
            R"("message":{"role":"assistant","content":"hi","refusal":null},)"
            R"("logprobs":{"content":[{"token":"hi","logprob":-0.25,"bytes":[104,105],)"
            R"("top_logprobs":[{"token":"hi","logprob":-0.25,"bytes":[104,105]}]}],)"
            R"("refusal":null},"finish_reason":"stop"}],"usage":)" +
                kUsageText + "}");
}

TEST(ProtocolAnswers, ChatChunks) {
  const GenerateCall call = chat(R"(, "stream": true)");
  const std::string start =
      R"({"id":"id-1","object":"chat.completion.chunk","created":1700000000,"model":"tiny",)"
      R"("system_fingerprint":"fp","choices":[)";
  EXPECT_EQ(call.format->opening(kHead, 0),
            start + R"({"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,)"
                    R"("finish_reason":null}]})");
  EXPECT_EQ(call.format->piece(kHead, {0, "hi", {7}, {}}, 0),
            start + R"({"index":0,"delta":{"content":"hi"},"logprobs":null,)"
                    R"("finish_reason":null}]})");
  EXPECT_EQ(call.format->ending(kHead, 0, FinishReason::kStop),
            start + R"({"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]})");
}

TEST(ProtocolAnswers, TokenIdsOnlyWhenAskedFor) {
  const std::vector<Choice> choices = {{"hi", {1, 2}, {}, FinishReason::kStop}};
  const std::string asked = R"(, "return_token_ids": true)";
  EXPECT_EQ(chat("").format->whole(kHead, choices, kUsage).find("token_ids"), std::string::npos);
  for (const std::string& body : {chat(asked).format->whole(kHead, choices, kUsage),
                                  completion(asked).format->whole(kHead, choices, kUsage)}) {
    EXPECT_NE(body.find(R"("token_ids":[1,2])"), std::string::npos) << body;
  }
}

TEST(ProtocolAnswers, Errors) {
  struct Case {
    FaultKind kind;
    int status;
    std::string type, code;
    bool retry;
  };
  const std::vector<Case> cases = {
      {FaultKind::kInvalid, 400, "invalid_request_error", "null", false},
      {FaultKind::kContextLength, 400, "invalid_request_error", "\"context_length_exceeded\"",
       false},
      {FaultKind::kModelNotFound, 404, "invalid_request_error", "\"model_not_found\"", false},
      {FaultKind::kUnsupported, 501, "not_supported_error", "\"not_supported\"", false},
      {FaultKind::kOverloaded, 429, "rate_limit_error", "\"queue_full\"", true},
      {FaultKind::kNotReady, 503, "server_error", "\"model_loading\"", true},
      {FaultKind::kShuttingDown, 503, "server_error", "\"shutting_down\"", true},
      {FaultKind::kInternal, 500, "server_error", "\"internal_error\"", false},
  };
  for (const Case& c : cases) {
    const ApiError error = api_error({c.kind, "why", "p", 2.5});
    EXPECT_EQ(error.status, c.status);
    EXPECT_EQ(error.retry_after_s, c.retry ? 3 : 0);
    EXPECT_EQ(error_body(error), fmt::format(R"({{"error":{{"message":"why","type":"{}",)"
                                             R"("param":"p","code":{}}}}})",
                                             c.type, c.code));
  }
  EXPECT_EQ(error_body(client_error(404, "unknown_url", "no \xff")),
            "{\"error\":{\"message\":\"no \xEF\xBF\xBD\",\"type\":\"invalid_request_error\","
            "\"param\":null,\"code\":\"unknown_url\"}}");
}

TEST(ProtocolAnswers, Embeddings) {
  const Embeddings result = {{{1.0F, -0.5F}, {0.25F, 0.0F}}, 6};
  EXPECT_EQ(embeddings_body(result, "m", false),
            R"({"object":"list","data":[{"object":"embedding","index":0,"embedding":[1,-0.5]},)"
            R"({"object":"embedding","index":1,"embedding":[0.25,0]}],"model":"m",)"
            R"("usage":{"prompt_tokens":6,"total_tokens":6}})");
  // 1.0f, -0.5f: bytes 00 00 80 3f 00 00 00 bf
  EXPECT_NE(embeddings_body(result, "m", true).find(R"("embedding":"AACAPwAAAL8=")"),
            std::string::npos);
}

TEST(ProtocolAnswers, Health) {
  const EngineStats stats{.running = 2, .waiting = 1};
  EXPECT_TRUE(health_report({}, stats, 30, false).healthy);
  EXPECT_EQ(health_report({}, stats, 30, false).body,
            R"({"status":"ok","live":true,"ready":true,"progress":true,"stalled_s":0,)"
            R"("running":2,"waiting":1})");
  const auto status = [&](Health health, bool draining) {
    const HealthReport report = health_report(health, stats, 30, draining);
    EXPECT_FALSE(report.healthy);
    return report.body.substr(0, report.body.find(','));
  };
  EXPECT_EQ(status({.stalled_s = 30}, false), R"({"status":"stalled")");
  EXPECT_EQ(status({}, true), R"({"status":"draining")");
  EXPECT_EQ(status({.live = false, .problem = "x"}, false), R"({"status":"dead")");
  const Health loading{.ready = false, .stage = "packing", .fraction = 0.5};
  EXPECT_EQ(status(loading, false), R"({"status":"loading model")");
  EXPECT_NE(health_report(loading, stats, 30, false).body.find(R"("stage":"packing")"),
            std::string::npos);
}

TEST(ProtocolAnswers, SmallBodies) {
  EXPECT_EQ(tokenize_body({1, 2}, 128), R"({"count":2,"max_model_len":128,"tokens":[1,2]})");
  EXPECT_EQ(detokenize_body("a"), R"({"prompt":"a"})");
  EXPECT_EQ(fingerprint("w1"), fmt::format("ashlar-{}-w1", version()));
  ModelInfo model;
  model.id = "m";
  model.created = 3;
  model.context_length = 64;
  model.weight_version = "w";
  EXPECT_EQ(models_body({model}),
            R"({"object":"list","data":[{"id":"m","object":"model","created":3,)"
            R"("owned_by":"ashlar","max_model_len":64,"weight_version":"w"}]})");
}

TEST(ProtocolAnswers, CharactersAddUpOverTokens) {
  const std::string text = "aé€😀";
  EXPECT_EQ(count_characters(text), 4);
  int64_t sum = 0;
  for (const char byte : text) sum += count_characters(std::string(1, byte));
  EXPECT_EQ(sum, 4);
  EXPECT_EQ(token_text("\xe2\x82"), "bytes:\\xe2\\x82");
  EXPECT_EQ(token_text("\xc0\xaf"), "bytes:\\xc0\\xaf");           // overlong
  EXPECT_EQ(token_text("\xed\xa0\x80"), "bytes:\\xed\\xa0\\x80");  // surrogate
  EXPECT_EQ(token_text(text), text);
}

}  // namespace
}  // namespace ashlar::serve
