#include "tests/serve/http_fixture.h"

#include <atomic>
#include <thread>

namespace ashlar::serve {
namespace {

class HttpLimitsTest : public HttpTest {};

TEST_F(HttpLimitsTest, RefusesAHundredMegabytesAtOnce) {
  start();
  RawClient c = client();
  c.send("POST /v1/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n");
  const RawResponse early = c.response();  // no byte of the body was sent
  EXPECT_EQ(early.status, 413);
  EXPECT_EQ(json_value(early.body, "code"), "request_too_large");
  EXPECT_NE(early.body.find("8388608 bytes"), std::string::npos) << early.body;
  // A client that sends it all before it reads still gets the answer.
  RawClient stubborn = client();
  stubborn.send(request_text("POST", "/v1/completions", std::string(100'000'000, 'x')));
  EXPECT_EQ(stubborn.response().status, 413);
  EXPECT_EQ(client().get("/health").status, 200);
}

TEST_F(HttpLimitsTest, ExpectContinue) {
  start();
  RawClient c = client();
  c.send(
      "POST /tokenize HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 15\r\n\r\n");
  EXPECT_EQ(c.response().status, 100);
  c.send(R"({"prompt": "a"})");
  EXPECT_EQ(c.response().status, 200);
  RawClient large = client();
  large.send(
      "POST /tokenize HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 100000000\r\n\r\n");
  EXPECT_EQ(large.response().status, 413);
}

TEST_F(HttpLimitsTest, MalformedInputEndsOneConnectionOnly) {
  options.limits.header_bytes = 1024;
  start();
  RawClient good = client();
  struct Case {
    std::string bytes;
    int status;
  };
  const std::vector<Case> cases = {
      {"nonsense\r\n\r\n", 400},
      {"GET /" + std::string(2000, 'a') + " HTTP/1.1\r\n\r\n", 431},
      {"GET / HTTP/3.0\r\n\r\n", 505},
      {"POST /tokenize HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n", 400},
      {"POST /tokenize HTTP/1.1\r\nContent-Length: -4\r\n\r\n", 400},
  };
  for (const Case& one : cases) {
    RawClient c = client();
    c.send(one.bytes);
    const RawResponse response = c.response();
    EXPECT_EQ(response.status, one.status) << one.bytes;
    EXPECT_EQ(json_value(response.body, "type"), "invalid_request_error");
    EXPECT_EQ(response.headers.at("connection"), "close");
    EXPECT_TRUE(c.closed_by_peer());
    EXPECT_EQ(good.get("/health").status, 200);
  }
  const RawResponse json = good.post("/tokenize", "{\"prompt\": ");
  EXPECT_EQ(json.status, 400);
  EXPECT_NE(json.body.find("at byte 12"), std::string::npos) << json.body;
}

TEST_F(HttpLimitsTest, SlowRequestsTimeOut) {
  options.limits.header_s = 0.15;
  options.limits.body_s = 0.15;
  options.limits.idle_s = 0.15;
  options.limits.linger_s = 0.1;
  start();
  RawClient header = client(), body = client(), idle = client(), silent = client();
  header.send("GET /health HTTP/1.1\r\nX-Slow: ");
  body.send("POST /tokenize HTTP/1.1\r\nContent-Length: 100\r\n\r\n{\"pro");
  EXPECT_EQ(idle.get("/health").status, 200);
  const RawResponse slow_header = header.response();
  EXPECT_EQ(slow_header.status, 408);
  EXPECT_NE(slow_header.body.find("header took longer"), std::string::npos);
  const RawResponse slow_body = body.response();
  EXPECT_EQ(slow_body.status, 408);
  EXPECT_NE(slow_body.body.find("body took longer"), std::string::npos);
  EXPECT_EQ(silent.read_to_end(), "");
  EXPECT_EQ(idle.read_to_end(), "");
}

TEST_F(HttpLimitsTest, TricklingDoesNotMoveTheDeadline) {
  options.limits.header_s = 0.15;
  options.limits.linger_s = 0.1;
  start();
  RawClient c = client();
  std::atomic<bool> answered = false;
  bool cut_short = false;
  std::thread trickle([&] {
    c.send("GET / HTTP/1.1\r\nX: ");
    for (int i = 0; i < 1000 && !cut_short; ++i) {  // ten seconds of bytes, each well in time
      c.send("a");
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      cut_short = answered;
    }
  });
  EXPECT_EQ(c.response().status, 408);
  answered = true;
  trickle.join();
  EXPECT_TRUE(cut_short);
}

TEST_F(HttpLimitsTest, TooManyConnectionsAreTurnedAway) {
  options.limits.connections = 2;
  start();
  RawClient first = client(), second = client();
  EXPECT_EQ(first.get("/health").status, 200);
  EXPECT_EQ(second.get("/health").status, 200);
  RawClient third = client();
  const RawResponse refused = third.response();
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.headers.at("retry-after"), "1");
  EXPECT_EQ(first.get("/health").status, 200);
}

TEST_F(HttpLimitsTest, BodiesShareABudget) {
  options.limits.bodies_bytes = 100'000;
  start();
  RawClient greedy = client();
  greedy.send("POST /tokenize HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n");
  greedy.send(std::string(200'000, ' '));
  EXPECT_EQ(greedy.response().status, 503);
  greedy.close();
  EXPECT_EQ(client().post("/tokenize", R"({"prompt": "a"})").status, 200);
}

}  // namespace
}  // namespace ashlar::serve
