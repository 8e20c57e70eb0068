// The HTTP server: everything between sockets and a Backend. One thread, named "http", does all its
// work. It listens from construction on; a backend that still loads is served as 503.
#pragma once

#include "ashlar/base/clock.h"
#include "ashlar/serve/backend.h"
#include "ashlar/serve/http/options.h"

#include <cstdint>
#include <memory>
#include <string>
#include <thread>

namespace ashlar::serve {

class HttpServer {
 public:
  // Binds; throws Error (a port in use, bad TLS files) or UsageError. Backend and clock must
  // outlive the server.
  HttpServer(HttpOptions options, Backend& backend, const Clock& clock);
  ~HttpServer();  // aborts what still runs
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  void start();

  uint16_t port() const;    // the one bound, also when 0 was asked for
  std::string url() const;  // "http://127.0.0.1:8000"

  // From any thread. Takes nothing new, lets requests in flight finish within limits.drain_s, then
  // ends them with an error.
  void drain();
  void abort();  // ends at once

  // Whether drain() or abort() was called, or a signal did it.
  bool stopping() const;
  // Returns when all is over: the signal that began it, or 0.
  int wait();

 private:
  class Core;
  std::unique_ptr<Core> core_;
  std::thread thread_;
};

}  // namespace ashlar::serve
