// The real server with a real model: what it answers, what it refuses, how it ends.
#include "ashlar/base/atomic_file.h"
#include "tests/cli/program.h"
#include "tests/cli/server_process.h"
#include "tests/serve/http_raw_client.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

namespace ashlar::cli {
namespace {

using serve::RawClient;
using serve::RawResponse;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

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
  EXPECT_EQ(text, whole["choices"][0]["text"]);
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

TEST(ServeProcessTest, SigtermDrainsAndEndsWell) {
  ServerProcess server(fixture_model("llama"));
  RawClient client(server.port());
  client.send(serve::request_text(
      "POST", "/v1/completions",
      R"({"model": "llama", "prompt": "To be", "max_tokens": 150, "ignore_eos": true, "stream": true})"));
  client.read_until("data: ");
  server.signal(SIGTERM);
  EXPECT_THAT(client.read_to_end(), HasSubstr("data: [DONE]"));
  EXPECT_EQ(server.wait(), 0) << server.log();
}

TEST(ServeProcessTest, CtrlCDrainsAndEndsWith130) {
  ServerProcess server(fixture_model("llama"));
  RawClient client(server.port());
  client.send(serve::request_text(
      "POST", "/v1/completions",
      R"({"prompt": "To be", "max_tokens": 150, "ignore_eos": true, "stream": true})"));
  client.read_until("data: ");
  server.signal(SIGINT);
  EXPECT_THAT(client.read_to_end(), HasSubstr("data: [DONE]"));
  EXPECT_EQ(server.wait(), 130) << server.log();
}

// A model with so much room that an answer outlasts any test.
std::string endless_model(const testing::TempDir& folder) {
  std::string model = copy_model("llama", folder);
  Json config = Json::parse(read_file(model + "/config.json"));
  config["max_position_embeddings"] = 1 << 17;
  write_file(model + "/config.json", config.dump());
  return model;
}
constexpr const char* kEndless =
    R"({"prompt": "To be", "max_tokens": 100000, "ignore_eos": true, "stream": true})";

TEST(ServeProcessTest, WhatOutlastsTheDeadlineEndsWithAnError) {
  const testing::TempDir folder;
  ServerProcess server(endless_model(folder), {"--max-num-seqs", "2", "--shutdown-timeout", "0.3"});
  RawClient client(server.port());
  client.send(serve::request_text("POST", "/v1/completions", kEndless));
  client.read_until("data: ");
  server.signal(SIGTERM);
  const std::string rest = client.read_to_end();
  EXPECT_THAT(rest, HasSubstr("\"shutting_down\""));
  EXPECT_THAT(rest, Not(HasSubstr("[DONE]")));
  EXPECT_EQ(server.wait(), 0) << server.log();
}

TEST(ServeProcessTest, ASecondSignalEndsAtOnce) {
  const testing::TempDir folder;
  ServerProcess server(endless_model(folder), {"--max-num-seqs", "2", "--shutdown-timeout", "500"});
  RawClient client(server.port());
  client.send(serve::request_text("POST", "/v1/completions", kEndless));
  client.read_until("data: ");
  server.signal(SIGINT);
  while (server.log().find("event=draining") == std::string::npos) client.read_until("data: ");
  server.signal(SIGINT);
  EXPECT_EQ(server.wait(), 130) << server.log();
}

TEST(ServeProcessTest, SaysWhatIsInForce) {
  testing::TempDir folder;
  const std::string model = copy_model("llama", folder);
  Json generation = Json::parse(read_file(model + "/generation_config.json"));
  generation["temperature"] = 0.25;
  write_file(model + "/generation_config.json", generation.dump());
  const std::string log = ServerProcess(model, {"--api-key", "hunter2"}).log();
  EXPECT_THAT(log, HasSubstr("temperature 0.25"));
  EXPECT_THAT(log, HasSubstr("generation_config.json"));
  EXPECT_THAT(log, HasSubstr("# api_key is set and not shown"));
  EXPECT_THAT(log, Not(HasSubstr("hunter2")));
  for (const char* row : {"weights ", "packed weights ", "work of a step ", "key-value cache ",
                          "total ", "available "}) {
    EXPECT_THAT(log, HasSubstr(row));
  }
}

TEST(ServeProcessTest, AFlagWinsOverTheEnvironmentAndThatOverTheFile) {
  testing::TempDir folder;
  write_file(folder.path("serve.toml"),
             "max_num_seqs = 3\nserved_model_name = \"file\"\nmax_body_bytes = 3000\n");
  ServerProcess server(fixture_model("llama"),
                       {"--config", folder.path("serve.toml"), "--served-model-name", "flag"},
                       {{"ASHLAR_SERVE_SERVED_MODEL_NAME", "environment"},
                        {"ASHLAR_SERVE_MAX_BODY_BYTES", "2000"},
                        {"ASHLAR_SERVE_API_KEY", "secret"}});
  const std::string log = server.log();
  EXPECT_THAT(log, HasSubstr("served_model_name = \"flag\""));
  EXPECT_THAT(log, HasSubstr("max_body_bytes = 2000"));
  EXPECT_THAT(log, HasSubstr("max_num_seqs = 3"));
  EXPECT_THAT(log, HasSubstr("max_num_batched_tokens = 512"));  // the default
  // And they are not only printed.
  RawClient client(server.port());
  EXPECT_EQ(client.get("/v1/models").status, 401);
  const std::string key = "Authorization: Bearer secret\r\n";
  const RawResponse models = client.request("GET", "/v1/models", "", key);
  EXPECT_EQ(Json::parse(models.body)["data"][0]["id"], "flag");
  EXPECT_EQ(client.request("POST", "/v1/completions", std::string(2001, ' '), key).status, 413);
}

TEST(ServeProcessTest, KnowsTheNamesOfOtherServers) {
  ServerProcess server(fixture_model("llama"),
                       {"-c", "64", "--parallel", "2", "--alias", "mine", "--cache-bytes", "64K"},
                       {{"ASHLAR_SERVE_MAX_WAITING", "7"}});
  const std::string log = server.log();
  for (const char* line : {"max_model_len = 64", "max_num_seqs = 2", "served_model_name = \"mine\"",
                           "kv_cache_memory_bytes = 65536", "max_num_queued_reqs = 7"}) {
    EXPECT_THAT(log, HasSubstr(line));
  }
  const Json model = Json::parse(RawClient(server.port()).get("/v1/models").body)["data"][0];
  EXPECT_EQ(model["max_model_len"], 64);
}

TEST(ServeProcessTest, AChatTemplateOfOnesOwn) {
  testing::TempDir folder;
  write_file(folder.path("mine.jinja"), "{{ messages[0].content }}{{ messages[0].content }}");
  ServerProcess server(fixture_model("gpt2"), {"--chat-template", folder.path("mine.jinja")});
  const auto prompt_tokens = [&](const std::string& path, const Json& body) {
    const RawResponse response = RawClient(server.port()).post(path, body.dump());
    EXPECT_EQ(response.status, 200) << response.body;
    return Json::parse(response.body)["usage"]["prompt_tokens"];
  };
  const Json chat = {{"messages", {{{"role", "user"}, {"content", "To be"}}}}, {"max_tokens", 1}};
  EXPECT_EQ(prompt_tokens("/v1/chat/completions", chat),
            prompt_tokens("/v1/completions", {{"prompt", "To beTo be"}, {"max_tokens", 1}}));
}

TEST(ServeProcessTest, AModelThatDoesNotFitIsRefusedWithTheSum) {
  const std::string model = fixture_model("llama");
  const testing::ProgramResult result = ashlar({"serve", model, "--port", "0", "--memory", "1M"});
  EXPECT_THAT(complaint(result, 1), AllOf(HasSubstr("one sequence of 256 tokens take "),
                                          HasSubstr("(--memory)"), HasSubstr("a larger --memory")));
  EXPECT_THAT(result.err, AllOf(HasSubstr("packed weights "), HasSubstr("total ")));
  EXPECT_THAT(complaint(ashlar({"serve", model, "--port", "0", "--cache-bytes", "50000"}), 1),
              AllOf(HasSubstr("kv_cache_memory_bytes"), HasSubstr("--max-model-len 96")));
}

TEST(ServeProcessTest, APortInUse) {
  ServerProcess server(fixture_model("llama"));
  EXPECT_THAT(
      complaint(ashlar({"serve", fixture_model("llama"), "--port", std::to_string(server.port())}),
                1),
      HasSubstr(std::to_string(server.port())));
  EXPECT_TRUE(server.running());
}

TEST(ServeProcessTest, APortInUseIsSeenBeforeAnythingIsLoaded) {
  ServerProcess server(fixture_model("llama"));
  testing::TempDir folder;
  const std::string broken = copy_model("llama", folder);
  truncate_file(broken + "/model.safetensors", 1000);
  const std::string port = std::to_string(server.port());
  EXPECT_EQ(complaint(ashlar({"serve", broken, "--port", port}), 1),
            fmt::format("ashlar: port {} on 127.0.0.1 is in use: Address already in use; choose "
                        "another with --port",
                        port));
  EXPECT_THAT(complaint(ashlar({"serve", broken, "--port", "0"}), 1),
              HasSubstr("model.safetensors"));
}

TEST(ServeProcessTest, WrongSettings) {
  testing::TempDir folder;
  write_file(folder.path("serve.toml"), "prot = 80\n");
  EXPECT_THAT(
      complaint(ashlar({"serve", fixture_model("llama"), "--config", folder.path("serve.toml")}),
                2),
      HasSubstr("port"));
  EXPECT_THAT(complaint(ashlar({"serve", fixture_model("llama"), "--port", "99999"}), 2),
              HasSubstr("99999"));
  EXPECT_THAT(complaint(ashlar({"serve", fixture_model("llama"), "--block-size", "32"}), 2),
              HasSubstr("block_size: 32 is not 16"));
  EXPECT_THAT(
      complaint(ashlar({"serve", fixture_model("llama"), "--max-num-batched-tokens", "8"}), 2),
      HasSubstr("max_num_batched_tokens: 8 is less than max_num_seqs = 64"));
  EXPECT_THAT(
      complaint(
          ashlar({"serve", fixture_model("llama")}, {.env = {{"ASHLAR_SERVE_PORT", "eighty"}}}), 2),
      HasSubstr("port: \"eighty\" is not a whole number (environment ASHLAR_SERVE_PORT)"));
  EXPECT_THAT(complaint(ashlar({"serve", "/no/model"}), 1), HasSubstr("/no/model"));
}

}  // namespace
}  // namespace ashlar::cli
