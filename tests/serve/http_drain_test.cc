#include "tests/serve/http_fixture.h"

#include <csignal>
#include <thread>

namespace ashlar::serve {
namespace {

class HttpDrainTest : public HttpTest {
 protected:
  // Waits until new connections are no longer taken.
  void wait_closed() {
    for (int i = 0; i < 2000; ++i) {
      try {
        client();
      } catch (const Error&) {
        return;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    FAIL() << "the server still listens";
  }
};

TEST_F(HttpDrainTest, FinishesWhatIsInFlight) {
  start();
  RawClient busy = client(), idle = client(), partial = client();
  EXPECT_EQ(idle.get("/health").status, 200);
  partial.send("POST /v1/completions HTTP/1.1\r\nHost: h\r\n");
  busy.send(request_text("POST", "/v1/completions", streamed_completion()));
  const auto submitted = backend.next();
  submitted.accept();
  submitted.text(0, "first");
  busy.read_until("first");
  server->drain();
  wait_closed();
  EXPECT_EQ(idle.read_to_end(), "");
  const std::string body = completion();
  partial.send(fmt::format("Content-Length: {}\r\n\r\n{}", body.size(), body));
  const RawResponse late = partial.response();
  EXPECT_EQ(late.status, 503);
  EXPECT_EQ(json_value(late.body, "code"), "shutting_down");
  submitted.text(0, "second");
  submitted.end(0);
  submitted.done();
  const std::string rest = busy.read_to_end();
  EXPECT_NE(rest.find("second"), std::string::npos);
  EXPECT_NE(rest.find("[DONE]"), std::string::npos);
  busy.close();
  partial.close();
  EXPECT_EQ(server->wait(), 0);
  EXPECT_EQ(backend.cancelled(), 0U);
}

TEST_F(HttpDrainTest, EndsWithAnErrorAtTheDeadline) {
  options.limits.drain_s = 0.1;
  start();
  RawClient stream = client(), whole = client();
  stream.send(request_text("POST", "/v1/completions", streamed_completion()));
  const auto first = backend.next();
  first.accept();
  stream.read_until("\r\n\r\n");
  whole.send(request_text("POST", "/v1/completions", completion()));
  const auto second = backend.next();
  server->drain();
  EXPECT_NE(stream.read_to_end().find("\"code\":\"shutting_down\""), std::string::npos);
  EXPECT_EQ(whole.response().status, 503);
  EXPECT_TRUE(backend.wait_cancelled(first.id));
  EXPECT_TRUE(backend.wait_cancelled(second.id));
  stream.close();
  whole.close();
  server->wait();
}

TEST_F(HttpDrainTest, AbortEndsAtOnceAndCancels) {
  start();
  RawClient c = client();
  c.send(request_text("POST", "/v1/completions", streamed_completion()));
  const auto submitted = backend.next();
  submitted.accept();
  c.read_until("\r\n\r\n");
  server->abort();
  server->wait();
  EXPECT_TRUE(backend.wait_cancelled(submitted.id));
  submitted.text(0, "late");  // the server's thread is gone
  server.reset();
  submitted.text(0, "later");  // the server is gone
  submitted.done();
}

TEST_F(HttpDrainTest, FirstSignalDrainsSecondAborts) {
  options.handle_signals = true;
  start();
  RawClient c = client();
  c.send(request_text("POST", "/v1/completions", streamed_completion()));
  const auto submitted = backend.next();
  submitted.accept();
  c.read_until("\r\n\r\n");
  std::raise(SIGTERM);
  wait_closed();
  submitted.text(0, "goes on");
  c.read_until("goes on");
  std::raise(SIGINT);
  EXPECT_EQ(server->wait(), SIGTERM);
  EXPECT_TRUE(backend.wait_cancelled(submitted.id));
}

TEST_F(HttpDrainTest, StopsWithoutEverHavingStarted) {
  server = std::make_unique<HttpServer>(options, backend, clock);
  EXPECT_GT(server->port(), 0);
  server.reset();
  start();
  server->drain();
  EXPECT_EQ(server->wait(), 0);
}

}  // namespace
}  // namespace ashlar::serve
