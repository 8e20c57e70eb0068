#include "tests/serve/http_raw_client.h"

#include "ashlar/base/error.h"

#include <openssl/ssl.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cctype>
#include <cstring>
#include <utility>

namespace ashlar::serve {
namespace {

constexpr int kPatienceSeconds = 20;

int connected(int family, const sockaddr* address, socklen_t size) {
  const int fd = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASHLAR_CHECK(fd >= 0, "socket: {}", std::strerror(errno));
  const timeval patience{kPatienceSeconds, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  ASHLAR_CHECK(::connect(fd, address, size) == 0, "connect: {}", std::strerror(errno));
  return fd;
}

}  // namespace

struct RawClient::Tls {
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  SSL* ssl = SSL_new(context);
  ~Tls() {
    SSL_free(ssl);
    SSL_CTX_free(context);
  }
};

RawClient::RawClient(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  fd_ = connected(AF_INET, reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

RawClient::RawClient(const std::string& unix_path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, unix_path.c_str(), sizeof address.sun_path - 1);
  fd_ = connected(AF_UNIX, reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

RawClient::RawClient(RawClient&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      tls_(std::move(other.tls_)),
      buffer_(std::move(other.buffer_)) {}

RawClient::~RawClient() { close(); }

void RawClient::start_tls() {
  tls_ = std::make_unique<Tls>();
  SSL_set_fd(tls_->ssl, fd_);
  ASHLAR_CHECK(SSL_connect(tls_->ssl) == 1, "TLS handshake failed");
}

void RawClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = tls_ ? SSL_write(tls_->ssl, bytes.data(), static_cast<int>(bytes.size()))
                              : ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
}

void RawClient::finish_sending() { ::shutdown(fd_, SHUT_WR); }

void RawClient::close() {
  tls_.reset();
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

void RawClient::close_with_reset() {
  const linger now{1, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close();
}

bool RawClient::fill() {
  std::array<char, 64 << 10> bytes;
  const ssize_t got = tls_ ? SSL_read(tls_->ssl, bytes.data(), static_cast<int>(bytes.size()))
                           : ::recv(fd_, bytes.data(), bytes.size(), 0);
  ASHLAR_CHECK(got >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK),
               "the server sent nothing for {} s", kPatienceSeconds);
  if (got <= 0) return false;
  buffer_.append(bytes.data(), static_cast<size_t>(got));
  return true;
}

std::string RawClient::line() {
  size_t end = 0;
  while ((end = buffer_.find("\r\n")) == std::string::npos) {
    if (!fill()) return "";
  }
  std::string text = buffer_.substr(0, end);
  buffer_.erase(0, end + 2);
  return text;
}

RawResponse RawClient::response(bool head) {
  RawResponse result;
  const std::string status = line();
  if (!status.starts_with("HTTP/1.1 ")) return result;
  result.status = std::stoi(status.substr(9));
  for (std::string header = line(); !header.empty(); header = line()) {
    const size_t colon = header.find(": ");
    std::string name = header.substr(0, colon);
    for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    result.headers[name] = header.substr(colon + 2);
  }
  if (head || result.status == 100 || result.status == 204) return result;
  const auto take = [&](size_t size) {
    while (buffer_.size() < size && fill()) {
    }
    result.body += buffer_.substr(0, size);
    buffer_.erase(0, size);
  };
  if (result.headers.contains("content-length")) {
    take(std::stoul(result.headers["content-length"]));
  } else if (result.headers.contains("transfer-encoding")) {
    for (;;) {
      const std::string size = line();
      if (size.empty() || size == "0") break;
      take(std::stoul(size, nullptr, 16));
      line();
    }
    line();
  } else {
    result.body = read_to_end();
  }
  return result;
}

std::string RawClient::read_until(std::string_view text) {
  size_t at = 0;
  while ((at = buffer_.find(text)) == std::string::npos) {
    if (!fill()) return std::exchange(buffer_, "");
  }
  const std::string result = buffer_.substr(0, at + text.size());
  buffer_.erase(0, result.size());
  return result;
}

std::string RawClient::read_to_end() {
  while (fill()) {
  }
  return std::exchange(buffer_, "");
}

bool RawClient::closed_by_peer() {
  read_to_end();
  return true;
}

std::string request_text(const std::string& method, const std::string& path,
                         const std::string& body, const std::string& headers) {
  std::string text = fmt::format("{} {} HTTP/1.1\r\nHost: test\r\n{}", method, path, headers);
  if (!body.empty() || method == "POST") text += fmt::format("Content-Length: {}\r\n", body.size());
  return text + "\r\n" + body;
}

RawResponse RawClient::request(const std::string& method, const std::string& path,
                               const std::string& body, const std::string& headers) {
  send(request_text(method, path, body, headers));
  return response(method == "HEAD");
}

}  // namespace ashlar::serve
