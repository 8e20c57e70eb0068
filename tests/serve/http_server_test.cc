#include "tests/serve/http_fixture.h"

#include <filesystem>

namespace ashlar::serve {
namespace {

class HttpServerTest : public HttpTest {};

TEST_F(HttpServerTest, ServesItsPlainRoutes) {
  start();
  RawClient c = client();
  const RawResponse models = c.get("/v1/models");
  EXPECT_EQ(models.status, 200);
  EXPECT_EQ(models.headers.at("content-type"), "application/json");
  EXPECT_EQ(json_value(models.body, "id"), "tiny");
  EXPECT_EQ(c.get("/v1/models/tiny").status, 200);
  EXPECT_EQ(c.get("/v1/models/t%69ny?x=1").status, 200);
  const RawResponse missing = c.get("/v1/models/huge");
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(json_value(missing.body, "code"), "model_not_found");
  EXPECT_NE(missing.body.find("there is 'tiny'"), std::string::npos);
  EXPECT_EQ(c.get("/health").status, 200);
  EXPECT_NE(c.get("/version").body.find("\"version\":\""), std::string::npos);
  backend.set_stats({.running = 7});
  const RawResponse metrics = c.get("/metrics");
  EXPECT_EQ(metrics.headers.at("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_NE(metrics.body.find("vllm:num_requests_running{engine=\"0\",model_name=\"tiny\"} 7"),
            std::string::npos);
  EXPECT_NE(metrics.body.find(R"(http_requests_total{handler="/v1/models",method="GET",)"
                              R"(status="2xx"} 1)"),
            std::string::npos);
}

TEST_F(HttpServerTest, TokenizesAndEmbeds) {
  backend.embeds = true;
  start();
  RawClient c = client();
  EXPECT_EQ(c.post("/tokenize", R"({"prompt": "ab"})").body,
            R"({"count":2,"max_model_len":128,"tokens":[97,98]})");
  EXPECT_EQ(c.post("/detokenize", R"({"tokens": [97, 98]})").body, R"({"prompt":"ab"})");
  const RawResponse bad = c.post("/tokenize", R"({"messages": [{"role":"user","content":"x"}]})");
  EXPECT_EQ(bad.status, 400);
  EXPECT_EQ(json_value(bad.body, "param"), "messages");
  const RawResponse embedded = c.post("/v1/embeddings", R"({"input": ["a", "b"]})");
  EXPECT_EQ(embedded.status, 200);
  EXPECT_NE(embedded.body.find(R"("embedding":[1,0.5,-2])"), std::string::npos);
}

TEST_F(HttpServerTest, SaysWhenAModelDoesNotEmbed) {
  start();
  const RawResponse response = client().post("/v1/embeddings", R"({"input": "a"})");
  EXPECT_EQ(response.status, 501);
  EXPECT_EQ(json_value(response.body, "code"), "not_supported");
}

TEST_F(HttpServerTest, MethodsHeadOptions) {
  start();
  RawClient c = client();
  const RawResponse head = c.request("HEAD", "/v1/models");
  EXPECT_EQ(head.status, 200);
  EXPECT_GT(std::stoi(head.headers.at("content-length")), 10);
  const RawResponse wrong = c.get("/v1/completions");
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(wrong.headers.at("allow"), "POST, OPTIONS");
  EXPECT_EQ(json_value(wrong.body, "code"), "method_not_allowed");
  EXPECT_EQ(c.request("BREW", "/health").status, 405);
  EXPECT_EQ(c.get("/nowhere").status, 404);
  const RawResponse methods = c.request("OPTIONS", "/v1/models");
  EXPECT_EQ(methods.status, 204);
  EXPECT_EQ(methods.headers.at("allow"), "GET, HEAD, OPTIONS");
  EXPECT_EQ(c.request("OPTIONS", "*").status, 204);
}

TEST_F(HttpServerTest, PagesOfAllowedOriginsOnly) {
  options.allowed_origins = {"https://app.example", "http://localhost:*"};
  start();
  RawClient c = client();
  const RawResponse good = c.request("GET", "/v1/models", "", "Origin: http://localhost:5173\r\n");
  EXPECT_EQ(good.status, 200);
  EXPECT_EQ(good.headers.at("access-control-allow-origin"), "http://localhost:5173");
  const RawResponse preflight =
      c.request("OPTIONS", "/v1/chat/completions", "",
                "Origin: https://app.example\r\nAccess-Control-Request-Headers: x-thing\r\n");
  EXPECT_EQ(preflight.status, 204);
  EXPECT_EQ(preflight.headers.at("access-control-allow-headers"), "x-thing");
  EXPECT_EQ(preflight.headers.at("access-control-allow-methods"), "POST, OPTIONS");
  for (const std::string origin : {"https://evil.example", "http://localhost:5173x", "null",
                                   "http://localhost.evil.example:80"}) {
    const RawResponse bad = c.request("GET", "/v1/models", "", "Origin: " + origin + "\r\n");
    EXPECT_EQ(bad.status, 403) << origin;
    EXPECT_FALSE(bad.headers.contains("access-control-allow-origin"));
  }
  EXPECT_EQ(c.request("GET", "/v1/models", "", "Origin: http://test\r\n").status, 200);
}

TEST_F(HttpServerTest, KeysGuardAllButHealth) {
  options.api_keys = {"alpha", "beta"};
  start();
  const std::vector<std::pair<std::string, std::string>> routes = {
      {"GET", "/metrics"},         {"GET", "/version"},
      {"GET", "/v1/models"},       {"GET", "/v1/models/tiny"},
      {"POST", "/tokenize"},       {"POST", "/detokenize"},
      {"POST", "/v1/completions"}, {"POST", "/v1/embeddings"},
      {"GET", "/nowhere"},         {"POST", "/v1/chat/completions"},
      {"PUT", "/v1/models"}};
  for (const auto& [method, path] : routes) {
    for (const std::string header :
         {"", "Authorization: Bearer gamma\r\n", "Authorization: Basic alpha\r\n",
          "Authorization: Bearer alph\r\n", "Authorization: Bearer alphaa\r\n",
          "Authorization: Bearer \r\n"}) {
      const RawResponse response = client().request(method, path, "", header);
      EXPECT_EQ(response.status, 401) << method << path << header;
      EXPECT_EQ(json_value(response.body, "code"), "invalid_api_key");
    }
  }
  RawClient c = client();
  EXPECT_EQ(c.get("/health").status, 200);
  EXPECT_EQ(c.request("GET", "/v1/models", "", "Authorization: Bearer beta\r\n").status, 200);
  EXPECT_EQ(c.request("GET", "/v1/models", "", "authorization: bearer alpha\r\n").status, 200);
  EXPECT_EQ(c.request("GET", "/v1/models", "", "X-Api-Key: alpha\r\n").status, 200);
}

TEST_F(HttpServerTest, RequestIdsComeBack) {
  start();
  RawClient c = client();
  EXPECT_EQ(c.request("GET", "/health", "", "x-request-id: my-id.7\r\n").headers.at("x-request-id"),
            "my-id.7");
  const std::string ours =
      c.request("GET", "/health", "", "x-request-id: bad id\r\n").headers.at("x-request-id");
  EXPECT_TRUE(ours.starts_with("req-")) << ours;
  EXPECT_NE(ours, c.get("/health").headers.at("x-request-id"));
}

TEST_F(HttpServerTest, KeepsConnectionsAndAnswersPipelinesInOrder) {
  start();
  RawClient c = client();
  std::string batch;
  for (int i = 0; i < 50; ++i) batch += request_text("GET", i % 2 == 0 ? "/health" : "/nowhere");
  c.send(batch);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(c.response().status, i % 2 == 0 ? 200 : 404);
  const RawResponse last = c.request("GET", "/health", "", "Connection: close\r\n");
  EXPECT_EQ(last.headers.at("connection"), "close");
  EXPECT_TRUE(c.closed_by_peer());
}

TEST_F(HttpServerTest, SpeaksHttp10) {
  start();
  RawClient c = client();
  c.send("GET /health HTTP/1.0\r\n\r\n");
  EXPECT_EQ(c.response().headers.at("connection"), "close");
  EXPECT_TRUE(c.closed_by_peer());
}

TEST_F(HttpServerTest, AnswersAClientThatClosedItsSendingSide) {
  start();
  RawClient c = client();
  c.send(request_text("GET", "/v1/models"));
  c.finish_sending();
  EXPECT_EQ(c.response().status, 200);
}

TEST_F(HttpServerTest, LoadingIsVisibleAndRefuses) {
  backend.set_health({.ready = false, .stage = "packing weights", .fraction = 0.4});
  start();
  RawClient c = client();
  const RawResponse health = c.get("/health");
  EXPECT_EQ(health.status, 503);
  EXPECT_EQ(json_value(health.body, "status"), "loading model");
  EXPECT_EQ(json_value(health.body, "stage"), "packing weights");
  const RawResponse early = c.post("/v1/completions", completion());
  EXPECT_EQ(early.status, 503);
  EXPECT_EQ(json_value(early.body, "code"), "model_loading");
  EXPECT_EQ(early.headers.at("retry-after"), "1");
  EXPECT_EQ(c.get("/v1/models").status, 503);
  EXPECT_EQ(c.get("/metrics").status, 200);
  backend.set_health({.stalled_s = 31});
  EXPECT_EQ(json_value(c.get("/health").body, "status"), "stalled");
}

TEST_F(HttpServerTest, APortInUseIsOneClearError) {
  start();
  HttpOptions second = options;
  second.port = server->port();
  try {
    HttpServer other(second, backend, clock);
    FAIL() << "bound twice";
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()),
              fmt::format("port {} on 127.0.0.1 is in use: Address already in use; choose another "
                          "with --port",
                          second.port));
  }
  EXPECT_EQ(client().get("/health").status, 200);
}

TEST_F(HttpServerTest, BadOptionsAreRefused) {
  const auto error_of = [&](auto change) -> std::string {
    HttpOptions bad = options;
    change(bad);
    try {
      HttpServer refused(bad, backend, clock);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(error_of([](HttpOptions& o) { o.port = 65536; }),
            "config port: 65536 is not from 0 to 65535");
  EXPECT_NE(error_of([](HttpOptions& o) {
              o.host = "no.such.host.invalid";
            }).find("host 'no.such.host.invalid' is not an address"),
            std::string::npos);
  EXPECT_NE(
      error_of([](HttpOptions& o) { o.tls_cert = "/x"; }).find("config ssl_keyfile: is missing"),
      std::string::npos);
  EXPECT_EQ(error_of([](HttpOptions& o) { o.tls_cert = o.tls_key = "/no/such.pem"; }),
            "TLS certificate '/no/such.pem': no such file");
  EXPECT_NE(error_of([](HttpOptions& o) { o.limits.idle_s = 0; }).find("serve.limits.idle_s: 0"),
            std::string::npos);
  EXPECT_NE(error_of([](HttpOptions& o) { o.api_keys = {""}; }).find("a key is empty"),
            std::string::npos);
}

TEST_F(HttpServerTest, ListensOnAUnixSocket) {
  const std::string path = fmt::format("{}/ashlar_{}.sock", testing::TempDir(), ::getpid());
  options.host = "unix:" + path;
  start();
  EXPECT_EQ(server->url(), "unix:" + path);
  EXPECT_EQ(RawClient(path).get("/health").status, 200);
  EXPECT_THROW(HttpServer(options, backend, clock), Error);
  server.reset();
  EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace ashlar::serve
