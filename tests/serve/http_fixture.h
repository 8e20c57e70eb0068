// A server over a scripted backend on a free port, and clients for it.
#pragma once

#include "ashlar/base/clock.h"
#include "ashlar/serve/http/server.h"
#include "tests/serve/http_raw_client.h"
#include "tests/serve/http_scripted_backend.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace ashlar::serve {

class HttpTest : public ::testing::Test {
 protected:
  HttpTest() {
    options.port = 0;
    options.log_requests = false;
  }

  void start() {
    server = std::make_unique<HttpServer>(options, backend, clock);
    server->start();
  }

  RawClient client() { return RawClient(server->port()); }

  // A completion request with further fields.
  static std::string completion(const std::string& fields = "") {
    return R"({"model": "tiny", "prompt": "hi")" + fields + "}";
  }
  static std::string streamed_completion() { return completion(R"(, "stream": true)"); }

  SteadyClock clock;
  HttpOptions options;
  ScriptedBackend backend;
  std::unique_ptr<HttpServer> server;
};

// The data of each server-sent event, in order.
inline std::vector<std::string> sse_events(std::string_view body) {
  std::vector<std::string> events;
  size_t at = 0;
  for (size_t end; (end = body.find("\n\n", at)) != std::string_view::npos; at = end + 2) {
    const std::string_view event = body.substr(at, end - at);
    if (event.starts_with("data: ")) events.emplace_back(event.substr(6));
  }
  return events;
}

// The text between `"key":"` and the next quote, or the bare value after `"key":`.
inline std::string json_value(std::string_view body, const std::string& key) {
  const std::string mark = "\"" + key + "\":";
  size_t at = body.find(mark);
  if (at == std::string_view::npos) return "";
  at += mark.size();
  if (body[at] == '"') return std::string(body.substr(at + 1, body.find('"', at + 1) - at - 1));
  return std::string(body.substr(at, body.find_first_of(",}]", at) - at));
}

}  // namespace ashlar::serve
