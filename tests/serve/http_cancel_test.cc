#include "tests/serve/http_fixture.h"

#include <thread>

namespace ashlar::serve {
namespace {

class HttpCancelTest : public HttpTest {};

class Disconnect : public HttpCancelTest, public ::testing::WithParamInterface<bool> {};

TEST_P(Disconnect, CancelsInEveryPhase) {
  const bool reset = GetParam();
  start();
  const auto leave = [&](RawClient& c) { reset ? c.close_with_reset() : c.close(); };
  for (const bool stream : {false, true}) {
    for (const std::string phase : {"queued", "prefill", "decoding"}) {
      RawClient c = client();
      c.send(
          request_text("POST", "/v1/completions", stream ? streamed_completion() : completion()));
      const auto submitted = backend.next();
      if (phase != "queued") submitted.accept();
      if (phase == "decoding") submitted.text(0, "a");
      if (phase == "decoding" && stream) c.read_until("\"text\":\"a\"");
      leave(c);
      EXPECT_TRUE(backend.wait_cancelled(submitted.id)) << phase << " stream=" << stream;
      submitted.text(0, "late");  // falls on nothing
      submitted.done();
    }
  }
  EXPECT_EQ(backend.cancelled(), 6U);
  const std::string metrics = client().get("/metrics").body;
  EXPECT_NE(metrics.find(R"(finished_reason="abort",model_name="tiny"} 6)"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(CloseOrReset, Disconnect, ::testing::Bool());

TEST_F(HttpCancelTest, OneClientsEndDoesNotTouchAnother) {
  start();
  RawClient leaving = client(), staying = client();
  leaving.send(request_text("POST", "/v1/completions", streamed_completion()));
  const auto gone = backend.next();
  staying.send(request_text("POST", "/v1/completions", streamed_completion()));
  const auto kept = backend.next();
  gone.accept();
  kept.accept();
  leaving.close();
  ASSERT_TRUE(backend.wait_cancelled(gone.id));
  kept.text(0, "still here");
  kept.end(0);
  kept.done();
  EXPECT_EQ(sse_events(staying.response().body).back(), "[DONE]");
  EXPECT_EQ(backend.cancelled(), 1U);
}

TEST_F(HttpCancelTest, AClientThatReadsTooSlowlyIsDropped) {
  options.limits.stream_backlog_bytes = 64 << 10;
  start();
  RawClient c = client();
  c.send(request_text("POST", "/v1/completions", streamed_completion()));
  const auto submitted = backend.next();
  submitted.accept();
  const std::string piece(256 << 10, 'x');
  // The system's own buffers take some MiB before the backlog grows.
  for (int i = 0; i < 80 && backend.cancelled() == 0; ++i) submitted.text(0, piece);
  EXPECT_TRUE(backend.wait_cancelled(submitted.id));
}

TEST_F(HttpCancelTest, AClientThatTakesNothingTimesOut) {
  options.limits.write_stall_s = 0.1;
  start();
  RawClient c = client();
  c.send(request_text("POST", "/v1/completions", completion()));
  const auto submitted = backend.next();
  submitted.accept();
  submitted.text(0, std::string(16 << 20, 'x'));  // more than sockets buffer
  submitted.end(0);
  submitted.done();
  RawClient other = client();
  std::string metrics;
  for (int i = 0; i < 400; ++i) {
    metrics = other.get("/metrics").body;
    if (metrics.find(R"(handler="/v1/completions")") != std::string::npos) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_NE(metrics.find(R"(http_requests_total{handler="/v1/completions",method="POST")"),
            std::string::npos);
}

TEST_F(HttpCancelTest, ABackendThatBreaksItsPromiseIsAnError) {
  start();
  RawClient c = client();
  c.send(request_text("POST", "/v1/completions", completion()));
  const auto submitted = backend.next();
  submitted.accept();
  submitted.text(7, "no such choice");
  EXPECT_EQ(c.response().status, 500);
  EXPECT_TRUE(backend.wait_cancelled(submitted.id));
}

}  // namespace
}  // namespace ashlar::serve
