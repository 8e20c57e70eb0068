// The real server with a real model: what it answers and what it refuses.
#include "ashlar/base/atomic_file.h"
#include "tests/cli/program.h"
#include "tests/cli/server_process.h"
#include "tests/serve/http_raw_client.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ashlar::cli {
namespace {

using serve::RawClient;
using serve::RawResponse;
using ::testing::HasSubstr;

// One server for the tests that leave it as it was.
class ServeVerbTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    server = new ServerProcess(fixture_model("llama"), {"--name", "tiny"});
  }
  static void TearDownTestSuite() {
    delete server;
    server = nullptr;
  }

  static Json post(const std::string& path, const std::string& body, int status = 200) {
    const RawResponse response = RawClient(server->port()).post(path, body);
    EXPECT_EQ(response.status, status) << response.body;
    const Json json = Json::parse(response.body, nullptr, false);
    EXPECT_TRUE(json.is_object()) << response.body;
    if (status != 200) {
      EXPECT_TRUE(json["error"]["message"].is_string()) << response.body;
      EXPECT_TRUE(json["error"]["type"].is_string()) << response.body;
      expect_alive();
    }
    return json;
  }
  static std::string message(const Json& answer) { return answer["error"]["message"]; }
  static void expect_alive() {
    EXPECT_EQ(RawClient(server->port()).get("/health").status, 200);
    EXPECT_TRUE(server->running());
  }
  static std::string completion(const Json& prompt, int max_tokens) {
    return Json{{"model", "tiny"},
                {"prompt", prompt},
                {"max_tokens", max_tokens},
                {"temperature", 0},
                {"ignore_eos", true}}
        .dump();
  }

  static ServerProcess* server;
};
ServerProcess* ServeVerbTest::server = nullptr;

TEST_F(ServeVerbTest, TellsItsModel) {
  const RawResponse models = RawClient(server->port()).get("/v1/models");
  EXPECT_EQ(Json::parse(models.body)["data"][0]["id"], "tiny");
  EXPECT_THAT(RawClient(server->port()).get("/metrics").body,
              HasSubstr("vllm:num_requests_running"));
}

TEST_F(ServeVerbTest, AnswersAsTheProgramDoes) {
  const Json item = golden("llama")["generate"][0];
  const Json answer = post("/v1/completions", completion(item["prompt_ids"], 24));
  EXPECT_EQ(answer["usage"]["prompt_tokens"], item["prompt_ids"].size());
  EXPECT_EQ(answer["usage"]["completion_tokens"], 24);
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "length");
  const Json text = ashlar_json({"tokenize", "decode", fixture_model("llama"), "--ids",
                                 join_ids(item["greedy_ids"]), "--no-special"});
  EXPECT_EQ(answer["choices"][0]["text"], text["text"]);
}

TEST_F(ServeVerbTest, StreamsTheSameText) {
  const Json whole = post("/v1/completions", completion("To be", 12));
  Json body = Json::parse(completion("To be", 12));
  body["stream"] = true;
  const RawResponse response = RawClient(server->port()).post("/v1/completions", body.dump());
  EXPECT_EQ(response.status, 200);
  std::string text;
  std::istringstream lines(response.body);
  bool done = false;
  for (std::string line; std::getline(lines, line);) {
    if (line == "data: [DONE]") done = true;
    if (!line.starts_with("data: {")) continue;
    const Json chunk = Json::parse(line.substr(6));
    for (const Json& choice : chunk["choices"]) text += choice["text"].get<std::string>();
  }
  EXPECT_TRUE(done);
  EXPECT_EQ(text, whole["choices"][0]["text"].get<std::string>());
}

TEST_F(ServeVerbTest, ChatsThroughTheTemplate) {
  const Json chat = golden("llama")["chat"];
  const Json answer = post(
      "/v1/chat/completions",
      Json{{"model", "tiny"}, {"messages", chat["messages"]}, {"max_tokens", 8}, {"temperature", 0}}
          .dump());
  EXPECT_EQ(answer["choices"][0]["message"]["role"], "assistant");
  testing::TempDir folder;
  write_file(folder.path("prompt"), chat["prompt"].get<std::string>());
  const Json ids = ashlar_json({"tokenize", "encode", fixture_model("llama"), "--file",
                                folder.path("prompt"), "--no-special"})["ids"];
  EXPECT_EQ(answer["usage"]["prompt_tokens"], ids.size());
}

TEST_F(ServeVerbTest, RefusesATokenIdBeyondTheVocabulary) {
  EXPECT_EQ(message(post("/v1/completions", completion(Json{1, 512}, 4), 400)),
            "prompt[1]: found the number 512, wanted a token id from 0 to 511, below the "
            "vocabulary size");
}

TEST_F(ServeVerbTest, RefusesAPromptLongerThanTheContext) {
  const Json answer = post("/v1/completions", completion(std::vector<int>(300, 5), 4), 400);
  EXPECT_EQ(answer["error"]["code"], "context_length_exceeded");
  EXPECT_EQ(
      message(answer),
      "the prompt has 300 tokens, the context 256: no room for a new one; shorten the prompt");
  EXPECT_EQ(answer["error"]["param"], "prompt");
  const Json chat = {{"messages", {{{"role", "user"}, {"content", std::string(2000, 'w')}}}}};
  EXPECT_EQ(post("/v1/chat/completions", chat.dump(), 400)["error"]["param"], "messages");
}

TEST_F(ServeVerbTest, RefusesMalformedJson) {
  for (const char* path : {"/v1/completions", "/v1/chat/completions", "/tokenize"}) {
    EXPECT_THAT(message(post(path, "{\"model\": ", 400)), HasSubstr("JSON")) << path;
  }
  EXPECT_THAT(message(post("/v1/completions", std::string(100'000, '['), 400)), HasSubstr("deep"));
}

TEST_F(ServeVerbTest, RefusesAnUnknownModelAndPath) {
  EXPECT_THAT(message(post("/v1/completions", R"({"model": "gpt-9", "prompt": "a"})", 404)),
              HasSubstr("gpt-9"));
  post("/v1/nothing", "{}", 404);
}

TEST_F(ServeVerbTest, RefusesABodyOf100Megabytes) {
  RawClient client(server->port());
  client.send(fmt::format("POST /v1/completions HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n",
                          100'000'000));
  const std::string part(1 << 20, 'x');
  for (int i = 0; i < 8; ++i) client.send(part);
  const RawResponse response = client.response();
  EXPECT_EQ(response.status, 413);
  EXPECT_EQ(message(Json::parse(response.body)),
            "the body is larger than 8388608 bytes, the most this server takes");
  expect_alive();
}

TEST_F(ServeVerbTest, RefusesABodyOf100MegabytesThatDoesNotSaySo) {
  RawClient client(server->port());
  client.send("POST /v1/completions HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
  const std::string part(1 << 20, 'x');
  // The server stops at its limit and forgets what still comes.
  for (int i = 0; i < 10; ++i) client.send(fmt::format("{:x}\r\n{}\r\n", part.size(), part));
  const RawResponse response = client.response();
  EXPECT_EQ(response.status, 413);
  EXPECT_EQ(message(Json::parse(response.body)),
            "the body is larger than 8388608 bytes, the most this server takes");
  expect_alive();
}

TEST_F(ServeVerbTest, AClientThatLeavesFreesItsPlace) {
  for (int i = 0; i < 4; ++i) {
    Json body = Json::parse(completion("To be", 200));
    body["stream"] = true;
    RawClient client(server->port());
    client.send(serve::request_text("POST", "/v1/completions", body.dump()));
    client.read_until("data: ");
    client.close_with_reset();
  }
  post("/v1/completions", completion("To be", 4));
  for (int i = 0; i < 500; ++i) {
    const std::string metrics = RawClient(server->port()).get("/metrics").body;
    if (metrics.find("vllm:num_requests_running{engine=\"0\",model_name=\"tiny\"} 0") !=
        std::string::npos)
      return;
  }
  FAIL() << RawClient(server->port()).get("/metrics").body;
}

TEST_F(ServeVerbTest, ContinuesTheFinalMessage) {
  Json body = {
      {"model", "tiny"},
      {"messages",
       {{{"role", "user"}, {"content", "Hi"}}, {{"role", "assistant"}, {"content", "Once upon"}}}},
      {"max_tokens", 6},
      {"temperature", 0},
      {"ignore_eos", true},
      {"continue_final_message", true}};
  const Json answer = post("/v1/chat/completions", body.dump());
  // The same as text, written by hand as the template would.
  Json text =
      Json::parse(completion("<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n"
                             "Hi<|eot_id|><|start_header_id|>assistant<|end_header_id|>"
                             "\n\nOnce upon",
                             6));
  text["add_special_tokens"] = false;
  const Json plain = post("/v1/completions", text.dump());
  EXPECT_EQ(answer["choices"][0]["message"]["content"], plain["choices"][0]["text"]);
  EXPECT_EQ(answer["usage"]["prompt_tokens"], plain["usage"]["prompt_tokens"]);
  body["add_generation_prompt"] = true;
  EXPECT_EQ(message(post("/v1/chat/completions", body.dump(), 400)),
            "continue_final_message: cannot be true together with add_generation_prompt");
}

}  // namespace
}  // namespace ashlar::cli
