#include "tests/serve/http_fixture.h"

#include <atomic>
#include <map>
#include <thread>

namespace ashlar::serve {
namespace {

class HttpGenerateTest : public HttpTest {};

TEST_F(HttpGenerateTest, WholeCompletion) {
  start();
  RawClient c = client();
  c.send(
      request_text("POST", "/v1/completions", completion(R"(, "n": 2)"), "x-request-id: abc\r\n"));
  const auto submitted = backend.next();
  EXPECT_EQ(submitted.request.request_id, "abc");
  submitted.accept();
  submitted.text(1, "b");
  submitted.text(0, "a");
  submitted.text(0, "a");
  submitted.end(1, FinishReason::kLength);
  submitted.end(0);
  submitted.done(3);
  const RawResponse response = c.response();
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.headers.at("x-weight-version"), "w7");
  EXPECT_NE(response.body.find(R"({"index":0,"text":"aa","logprobs":null,"finish_reason":"stop"})"),
            std::string::npos);
  EXPECT_NE(
      response.body.find(R"({"index":1,"text":"b","logprobs":null,"finish_reason":"length"})"),
      std::string::npos);
  EXPECT_NE(response.body.find(R"("cached_tokens":1)"), std::string::npos);
  EXPECT_TRUE(json_value(response.body, "system_fingerprint").ends_with("-w7"));
  EXPECT_TRUE(json_value(response.body, "id").starts_with("cmpl-"));
  EXPECT_EQ(c.get("/health").status, 200);  // the connection goes on
}

TEST_F(HttpGenerateTest, StreamsInOrderAsPiecesCome) {
  start();
  RawClient c = client();
  c.send(request_text("POST", "/v1/chat/completions",
                      R"({"messages": [{"role": "user", "content": "x"}], "stream": true,
                          "stream_options": {"include_usage": true}})"));
  const auto submitted = backend.next();
  submitted.accept();
  const std::string head = c.read_until("\r\n\r\n");
  EXPECT_NE(head.find("Content-Type: text/event-stream"), std::string::npos);
  EXPECT_NE(head.find("x-weight-version: w7"), std::string::npos);
  EXPECT_NE(c.read_until("\n\n").find(R"("delta":{"role":"assistant","content":""})"),
            std::string::npos);
  for (int i = 0; i < 5; ++i) {  // each piece arrives before the next is made
    submitted.text(0, fmt::format("p{}", i));
    EXPECT_NE(c.read_until("\n\n").find(fmt::format(R"("delta":{{"content":"p{}"}})", i)),
              std::string::npos);
  }
  submitted.end(0);
  submitted.done(5);
  const std::string rest = c.read_until("\r\n0\r\n\r\n");
  const size_t finish = rest.find(R"("delta":{},"logprobs":null,"finish_reason":"stop")");
  const size_t usage = rest.find(R"("choices":[],"usage":{"prompt_tokens":3)");
  const size_t end = rest.find("data: [DONE]\n\n");
  EXPECT_LT(finish, usage);
  EXPECT_LT(usage, end);
  EXPECT_NE(end, std::string::npos);
  EXPECT_EQ(c.get("/health").status, 200);
}

TEST_F(HttpGenerateTest, StreamsSeveralChoices) {
  backend.answer_all(20);
  start();
  const RawResponse response = client().post(
      "/v1/completions", R"({"prompt": ["a", "b"], "n": 2, "stream": true, "max_tokens": 20})");
  std::map<std::string, std::string> texts;
  const std::vector<std::string> events = sse_events(response.body);
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(events.back(), "[DONE]");
  for (const std::string& event : events) {
    if (event != "[DONE]") texts[json_value(event, "index")] += json_value(event, "text");
  }
  std::string wanted;
  for (int i = 0; i < 20; ++i) wanted += fmt::format("w{} ", i);
  ASSERT_EQ(texts.size(), 4U);
  for (const auto& [index, text] : texts) EXPECT_EQ(text, wanted) << index;
}

TEST_F(HttpGenerateTest, Http10StreamsEndWithTheConnection) {
  backend.answer_all(3);
  start();
  RawClient c = client();
  const std::string body = streamed_completion();
  c.send(fmt::format("POST /v1/completions HTTP/1.0\r\nContent-Length: {}\r\n\r\n{}", body.size(),
                     body));
  const RawResponse response = c.response();
  EXPECT_FALSE(response.headers.contains("transfer-encoding"));
  EXPECT_EQ(sse_events(response.body).back(), "[DONE]");
}

TEST_F(HttpGenerateTest, FaultsBeforeTheStreamHaveAStatus) {
  start();
  for (const bool stream : {false, true}) {
    RawClient c = client();
    c.send(request_text("POST", "/v1/completions", stream ? streamed_completion() : completion()));
    backend.next().fail(FaultKind::kContextLength,
                        "the prompt has 200 tokens, the context of 'tiny' holds 128", "prompt");
    const RawResponse response = c.response();
    EXPECT_EQ(response.status, 400);
    EXPECT_EQ(json_value(response.body, "code"), "context_length_exceeded");
    EXPECT_EQ(json_value(response.body, "param"), "prompt");
    EXPECT_EQ(c.get("/health").status, 200);
  }
}

TEST_F(HttpGenerateTest, FaultsInTheStreamAreEventsWithoutDone) {
  start();
  RawClient c = client();
  c.send(request_text("POST", "/v1/completions", streamed_completion()));
  const auto submitted = backend.next();
  submitted.accept();
  submitted.text(0, "a");
  submitted.fail(FaultKind::kInternal, "a kernel failed");
  submitted.text(0, "never sent");
  const RawResponse response = c.response();
  EXPECT_EQ(response.status, 200);
  const std::vector<std::string> events = sse_events(response.body);
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[1],
            R"({"error":{"message":"a kernel failed","type":"server_error","param":null,)"
            R"("code":"internal_error"}})");
  EXPECT_EQ(c.get("/health").status, 200);
}

TEST_F(HttpGenerateTest, UnknownModelAndBadFields) {
  start();
  RawClient c = client();
  const RawResponse unknown = c.post("/v1/completions", R"({"model": "gpt-9", "prompt": "x"})");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(json_value(unknown.body, "code"), "model_not_found");
  EXPECT_EQ(json_value(unknown.body, "param"), "model");
  const RawResponse bad = c.post("/v1/completions", completion(R"(, "temperature": "hot")"));
  EXPECT_EQ(bad.status, 400);
  EXPECT_EQ(json_value(bad.body, "param"), "temperature");
  const RawResponse id = c.post("/v1/completions", R"({"prompt": [1, 1000]})");
  EXPECT_EQ(json_value(id.body, "param"), "prompt[1]");
}

TEST_F(HttpGenerateTest, AFullQueueIs429) {
  backend.queue_limit = 2;
  start();
  RawClient first = client(), second = client(), third = client();
  first.send(request_text("POST", "/v1/completions", completion()));
  second.send(request_text("POST", "/v1/completions", completion()));
  ASSERT_TRUE(backend.wait_waiting(2));
  const RawResponse response = third.post("/v1/completions", completion());
  EXPECT_EQ(response.status, 429);
  EXPECT_EQ(response.headers.at("retry-after"), "3");
  EXPECT_EQ(json_value(response.body, "code"), "queue_full");
}

TEST_F(HttpGenerateTest, QuietStreamsArePinged) {
  options.limits.ping_s = 0.05;
  start();
  RawClient c = client();
  c.send(request_text("POST", "/v1/completions", streamed_completion()));
  const auto submitted = backend.next();
  submitted.accept();
  c.read_until(": ping\n\n");
  c.read_until(": ping\n\n");
  submitted.text(0, "a");
  submitted.end(0);
  submitted.done();
  EXPECT_NE(c.read_until("0\r\n\r\n").find("[DONE]"), std::string::npos);
}

TEST_F(HttpGenerateTest, PipelinedRequestsAreAnsweredOneByOne) {
  backend.answer_all(2);
  start();
  RawClient c = client();
  c.send(request_text("POST", "/v1/completions", completion()) +
         request_text("POST", "/v1/completions", streamed_completion()) +
         request_text("GET", "/health"));
  EXPECT_EQ(json_value(c.response().body, "text"), "w0 w1 ");
  EXPECT_EQ(sse_events(c.response().body).size(), 4U);
  EXPECT_EQ(json_value(c.response().body, "status"), "ok");
}

TEST_F(HttpGenerateTest, ManyClientsAtOnce) {
  backend.answer_all(16);
  start();
  constexpr int kClients = 24, kRequests = 6;
  std::atomic<int> right = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kClients; ++t) {
    threads.emplace_back([&, t] {
      RawClient c = client();
      for (int i = 0; i < kRequests; ++i) {
        const bool stream = (t + i) % 2 == 0;
        const RawResponse response =
            c.post("/v1/completions", stream ? streamed_completion() : completion());
        const bool whole = response.body.find("w0 w1 ") != std::string::npos;
        right += (stream ? sse_events(response.body).size() == 18 : whole) ? 1 : 0;
      }
      if (t % 3 == 0) {  // and some leave in the middle
        c.send(request_text("POST", "/v1/completions", streamed_completion()));
        c.close();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, kClients * kRequests);
}

}  // namespace
}  // namespace ashlar::serve
