// `ashlar serve` as a process: its settings and where they come from, how it starts and how it
// ends.
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

TEST(ServeProcessTest, SigtermDrainsAndEndsWell) {
  ServerProcess server(fixture_model("llama"));
  RawClient client(server.port());
  client.send(serve::request_text(
      "POST", "/v1/completions",
      R"({"model": "llama", "prompt": "To be", "max_tokens": 150, "ignore_eos": true, "stream": true})"));
  client.read_until("data: ");
  server.signal(SIGTERM);
  EXPECT_THAT(client.read_to_end(), HasSubstr("data: [DONE]"));
  client.close();
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
  client.close();
  EXPECT_EQ(server.wait(), 130) << server.log();
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
  client.close();
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
                        {"ASHLAR_SERVE_API_KEY", "secret"},
                        {"ASHLAR_SERVE_MAX_NUM_SEQ", "5"}});
  const std::string log = server.log();
  EXPECT_THAT(log, HasSubstr("served_model_name = \"flag\""));
  EXPECT_THAT(log, HasSubstr("max_body_bytes = 2000"));
  EXPECT_THAT(log, HasSubstr("max_num_seqs = 3"));
  EXPECT_THAT(log, HasSubstr("max_num_batched_tokens = 512"));  // the default
  EXPECT_THAT(log, HasSubstr("name=ASHLAR_SERVE_MAX_NUM_SEQ reason=\"did you mean "
                             "ASHLAR_SERVE_MAX_NUM_SEQS?\""));
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
  EXPECT_THAT(complaint(ashlar({"serve", fixture_model("llama"), "--max-num-queued-reqs", "0"}), 2),
              HasSubstr("max_num_queued_reqs: 0 is not positive"));
  EXPECT_THAT(complaint(ashlar({"serve", fixture_model("llama"), "--ssl-certfile", "a.pem"}), 2),
              HasSubstr("ssl_keyfile: is missing"));
  EXPECT_THAT(complaint(ashlar({"serve", fixture_model("llama"), "--api-key", ""}), 2),
              HasSubstr("--api-key: empty; give a key"));
  EXPECT_THAT(complaint(ashlar({"serve", "/no/model"}), 1), HasSubstr("/no/model"));
}

}  // namespace
}  // namespace ashlar::cli
