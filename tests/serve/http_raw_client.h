// A blocking HTTP client that sends exactly the bytes a test wants, over TCP, a UNIX socket or TLS.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

namespace ashlar::serve {

struct RawResponse {
  int status = 0;                              // 0: the connection ended before a response
  std::map<std::string, std::string> headers;  // lower-case names
  std::string body;                            // without chunk framing
};

class RawClient {
 public:
  explicit RawClient(uint16_t port);
  explicit RawClient(const std::string& unix_path);
  ~RawClient();
  RawClient(RawClient&&) noexcept;

  void start_tls();  // trusts anyone

  void send(std::string_view bytes);  // false returns are ignored: the peer may have closed
  void finish_sending();
  void close();
  void close_with_reset();  // as a killed client does

  // Reads a whole response; chunked bodies are decoded to their end.
  RawResponse response(bool head = false);
  // Reads until `text` has come in all that was read since the last call; what was read.
  std::string read_until(std::string_view text);
  std::string read_to_end();  // until the peer closes
  bool closed_by_peer();      // waits for it

  // "METHOD path HTTP/1.1" with Host, headers and body.
  RawResponse request(const std::string& method, const std::string& path,
                      const std::string& body = "", const std::string& headers = "");
  RawResponse get(const std::string& path) { return request("GET", path); }
  RawResponse post(const std::string& path, const std::string& body) {
    return request("POST", path, body);
  }

 private:
  bool fill();  // reads what comes; false at the end
  std::string line();

  struct Tls;
  int fd_ = -1;
  std::unique_ptr<Tls> tls_;
  std::string buffer_;
};

// The bytes of a request as request() sends them.
std::string request_text(const std::string& method, const std::string& path,
                         const std::string& body = "", const std::string& headers = "");

}  // namespace ashlar::serve
