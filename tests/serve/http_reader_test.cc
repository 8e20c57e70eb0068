#include "ashlar/base/philox.h"
#include "ashlar/serve/http/request_reader.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ashlar::serve {
namespace {

using State = RequestReader::State;

HttpLimits small_limits() {
  HttpLimits limits;
  limits.header_bytes = 512;
  limits.body_bytes = 64;
  return limits;
}

// The end state after all bytes; stops at the first message.
State feed(RequestReader& reader, std::string_view bytes) {
  reader.append(bytes);
  State state = reader.advance();
  if (state == State::kHeader) state = reader.advance();
  return state;
}

constexpr std::string_view kPost =
    "POST /v1/completions?x=1 HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nContent-Length: 5\r\n\r\nhello";

TEST(HttpReader, SameRequestHoweverItIsCut) {
  for (size_t cut = 0; cut <= kPost.size(); ++cut) {
    RequestReader reader{HttpLimits{}};
    EXPECT_FALSE(reader.started());
    if (feed(reader, kPost.substr(0, cut)) != State::kMessage) {
      EXPECT_EQ(reader.started(), cut > 0);
      ASSERT_EQ(feed(reader, kPost.substr(cut)), State::kMessage) << cut;
    }
    EXPECT_EQ(reader.request().method, "POST");
    EXPECT_EQ(reader.request().path, "/v1/completions");
    EXPECT_EQ(reader.request().header("x-a"), "1");
    EXPECT_EQ(reader.request().body, "hello");
    EXPECT_TRUE(reader.request().keep_alive);
  }
}

TEST(HttpReader, HeaderIsAnnouncedBeforeTheBody) {
  RequestReader reader{HttpLimits{}};
  reader.append("POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(reader.advance(), State::kHeader);
  EXPECT_TRUE(reader.expects_continue());
  EXPECT_EQ(reader.advance(), State::kNeedMore);
  reader.append("ok");
  EXPECT_EQ(reader.advance(), State::kMessage);
  EXPECT_EQ(reader.request().body, "ok");
}

TEST(HttpReader, PipelinedRequestsWait) {
  RequestReader reader{HttpLimits{}};
  reader.append(kPost);
  reader.append("GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HT");
  EXPECT_EQ(feed(reader, ""), State::kMessage);
  reader.next();
  EXPECT_EQ(feed(reader, ""), State::kMessage);
  EXPECT_EQ(reader.request().path, "/a");
  reader.next();
  EXPECT_TRUE(reader.started());
  EXPECT_EQ(feed(reader, "TP/1.0\r\n\r\n"), State::kMessage);
  EXPECT_EQ(reader.request().path, "/b");
  EXPECT_FALSE(reader.request().keep_alive);
  EXPECT_FALSE(reader.request().chunked_answers);
}

TEST(HttpReader, ChunkedBodies) {
  RequestReader reader{HttpLimits{}};
  EXPECT_EQ(feed(reader,
                 "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
                 "3;ext=1\r\nabc\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n"),
            State::kMessage);
  EXPECT_EQ(reader.request().body, "abc0123456789");
}

// The cost of a body is that of its bytes, however small its chunks are.
TEST(HttpReader, ABodyInChunksOfOneByte) {
  RequestReader reader{HttpLimits{}};
  std::string bytes = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", body;
  for (int i = 0; i < 200'000; ++i) {
    body += static_cast<char>('a' + i % 26);
    bytes += std::string("1\r\n") + body.back() + "\r\n";
  }
  EXPECT_EQ(feed(reader, bytes + "0\r\n\r\nGET"), State::kMessage);
  EXPECT_EQ(reader.request().body, body);
  EXPECT_EQ(reader.buffered(), 3u);
}

TEST(HttpReader, MalformedRequestsHaveAStatus) {
  struct Case {
    std::string bytes;
    int status;
  };
  const std::string post = "POST / HTTP/1.1\r\n";
  const std::string chunked = post + "Transfer-Encoding: chunked\r\n\r\n";
  const std::vector<Case> cases = {
      {"\x16\x03\x01\x02 TLS to a plain port\r\n\r\n", 400},
      {"GET\r\n\r\n", 400},
      {"GET /\r\n\r\n", 400},
      {"G=T / HTTP/1.1\r\n\r\n", 400},
      {"GET / HTTP/2.0\r\n\r\n", 505},
      {"GET / HTTQ/1.1\r\n\r\n", 505},
      {"GET nowhere HTTP/1.1\r\n\r\n", 400},
      {"GET /%zz HTTP/1.1\r\n\r\n", 400},
      {"GET /%00 HTTP/1.1\r\n\r\n", 400},
      {"CONNECT host:80 HTTP/1.1\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nNo colon\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nBad name: x\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nA: b\x01\r\n\r\n", 400},
      {post + "Content-Length: -1\r\n\r\n", 400},
      {post + "Content-Length: 1x\r\n\r\n", 400},
      {post + "Content-Length: 99999999999999999999\r\n\r\n", 400},
      {post + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400},
      {post + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {post + "Content-Length: 65\r\n\r\n", 413},
      {post + "Content-Length: 100000000\r\n\r\n", 413},
      {post + "Transfer-Encoding: gzip\r\n\r\n", 501},
      {post + "Transfer-Encoding: chunked, gzip\r\n\r\n", 501},
      {post + "Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\n", 415},
      {chunked + "zz\r\nabc\r\n", 400},
      {chunked + "3\r\nabcd\r\n0\r\n\r\n", 400},
      {chunked + "ffffffffffffffffff\r\nabc\r\n", 400},
      {chunked + "41\r\n" + std::string(65, 'x') + "\r\n0\r\n\r\n", 413},
      {post + "Expect: tea\r\nContent-Length: 1\r\n\r\n", 417},
      {"GET /" + std::string(600, 'a') + " HTTP/1.1\r\n\r\n", 431},
      {"GET / HTTP/1.1\r\nA: " + std::string(600, 'a') + "\r\n\r\n", 431},
      {std::string(600, 'a'), 431},
  };
  for (const Case& c : cases) {
    RequestReader reader(small_limits());
    ASSERT_EQ(feed(reader, c.bytes), State::kFailed) << c.bytes;
    EXPECT_EQ(reader.error().status, c.status) << c.bytes << reader.error().message;
    EXPECT_FALSE(reader.error().message.empty());
  }
}

TEST(HttpReader, PathsAreDecoded) {
  EXPECT_EQ(path_of("/v1/models/a%2Fb%20c?q#f"), "/v1/models/a/b c");
  EXPECT_EQ(path_of("http://host:1/x"), "/x");
  EXPECT_EQ(path_of("http://host"), "/");
  EXPECT_EQ(path_of("*"), "*");
  EXPECT_EQ(path_of(""), std::nullopt);
  EXPECT_EQ(path_of("/%2"), std::nullopt);
}

TEST(HttpReader, NoBytesBreakIt) {
  uint32_t messages = 0, failures = 0;
  for (uint32_t round = 0; round < 5'000; ++round) {
    std::string bytes(kPost);
    if (round % 2 == 1) {
      bytes = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    }
    for (uint32_t edit = 0; edit < 1 + round % 3; ++edit) {
      const auto r = philox4x32(11, {round, edit, 0, 0});
      bytes[r[0] % bytes.size()] = static_cast<char>(r[1]);
    }
    RequestReader reader(small_limits());
    const size_t cut = philox4x32(11, {round, 0, 1, 0})[0] % bytes.size();
    State state = feed(reader, bytes.substr(0, cut));
    if (state == State::kNeedMore) state = feed(reader, bytes.substr(cut));
    messages += state == State::kMessage ? 1 : 0;
    failures += state == State::kFailed ? 1 : 0;
  }
  EXPECT_GT(messages, 100U);
  EXPECT_GT(failures, 100U);
}

}  // namespace
}  // namespace ashlar::serve
