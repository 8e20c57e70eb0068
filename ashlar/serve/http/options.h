// How the HTTP server listens and what it defends itself with. Defaults protect; times in seconds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace ashlar::serve {

struct HttpLimits {
  int64_t connections = 1024;              // more get 503 at once
  int64_t header_bytes = 16 << 10;         // of a request's line and headers: 431
  int64_t body_bytes = 8 << 20;            // of one request: 413
  int64_t bodies_bytes = 256 << 20;        // of all requests being read: 503
  int64_t read_ahead_bytes = 64 << 10;     // of later requests while one is answered
  int64_t stream_backlog_bytes = 1 << 20;  // unsent: a client that reads too slowly is dropped

  double header_s =
      10;              // from the first byte of a request (or from connecting) to its header's end
  double body_s = 60;  // from there to the body's end
  double idle_s = 60;  // between requests
  double write_stall_s = 30;   // without the client taking a byte
  double ping_s = 15;          // of silence in a stream before a comment line
  double linger_s = 2;         // reading on after an early error, so that the client sees it
  double drain_s = 30;         // for requests in flight when the server stops
  double health_stall_s = 30;  // work pending without a step: /health says 503
};

struct HttpOptions {
  std::string host = "127.0.0.1";     // a name, an address, or unix:/path/of/socket
  int port = 8000;                    // 0: any free one
  std::vector<std::string> api_keys;  // none: open. Otherwise every route but /health wants one
  std::string tls_cert;               // PEM files; both or none
  std::string tls_key;
  // Web pages that may call: "*", or origins; ":*" at the end stands for any port.
  std::vector<std::string> allowed_origins = {"http://localhost", "http://localhost:*",
                                              "http://127.0.0.1", "http://127.0.0.1:*"};
  bool handle_signals = false;  // SIGINT and SIGTERM: the first drains, the second ends at once
  bool log_requests = true;
  HttpLimits limits;

  void validate() const;  // throws UsageError
};

}  // namespace ashlar::serve
