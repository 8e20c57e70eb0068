#include "ashlar/serve/http/options.h"

#include "ashlar/base/error.h"

#include <initializer_list>
#include <utility>

namespace ashlar::serve {

void HttpOptions::validate() const {
  constexpr int kLastPort = 65535;
  if (port < 0 || port > kLastPort) {
    fail_usage("config port: {} is not from 0 to {}", port, kLastPort);
  }
  if (host.empty()) fail_usage("config host: is empty; give an address, e.g. 127.0.0.1");
  if (tls_cert.empty() != tls_key.empty()) {
    fail_usage("config {}: is missing; https needs both the certificate and its key",
               tls_cert.empty() ? "ssl_certfile" : "ssl_keyfile");
  }
  for (const std::string& key : api_keys) {
    if (key.empty()) fail_usage("config api_key: a key is empty; give one, or none to serve all");
  }
  using Count = std::pair<const char*, int64_t>;
  for (const auto& [name, value] :
       {Count{"connections", limits.connections}, Count{"header_bytes", limits.header_bytes},
        Count{"body_bytes", limits.body_bytes}, Count{"bodies_bytes", limits.bodies_bytes},
        Count{"read_ahead_bytes", limits.read_ahead_bytes},
        Count{"stream_backlog_bytes", limits.stream_backlog_bytes}}) {
    if (value < 1) fail_usage("serve.limits.{}: {} is not positive", name, value);
  }
  using Time = std::pair<const char*, double>;
  constexpr double kLongest = 1e6;
  for (const auto& [name, value] :
       {Time{"header_s", limits.header_s}, Time{"body_s", limits.body_s},
        Time{"idle_s", limits.idle_s}, Time{"write_stall_s", limits.write_stall_s},
        Time{"ping_s", limits.ping_s}, Time{"linger_s", limits.linger_s},
        Time{"drain_s", limits.drain_s}, Time{"health_stall_s", limits.health_stall_s}}) {
    if (!(value > 0 && value <= kLongest)) {
      fail_usage("serve.limits.{}: {} is not a time above 0 and at most {} s", name, value,
                 kLongest);
    }
  }
}

}  // namespace ashlar::serve
