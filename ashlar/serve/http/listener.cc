#include "ashlar/serve/http/listener.h"

#include "ashlar/base/error.h"
#include "ashlar/base/log.h"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <utility>

namespace ashlar::serve {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr std::string_view kUnixPrefix = "unix:";

[[noreturn]] void fail_to_bind(const error_code& error, const std::string& host, int port) {
  if (error == asio::error::address_in_use) {
    fail("port {} on {} is in use: {}; choose another with --port", port, host, error.message());
  }
  if (error == asio::error::access_denied) {
    fail("port {} on {}: {}; ports below 1024 need root, choose another with --port", port, host,
         error.message());
  }
  fail("cannot listen on {} port {}: {}; choose another with --host and --port", host, port,
       error.message());
}

tcp::endpoint resolve(asio::io_context& io, const std::string& host, int port) {
  error_code error;
  tcp::resolver resolver(io);
  const auto results = resolver.resolve(host, std::to_string(port), tcp::resolver::passive, error);
  if (error || results.empty()) {
    fail("host '{}' is not an address of this machine: {}; try --host 127.0.0.1", host,
         error.message());
  }
  // "localhost" may be both: IPv4 is what most clients try first.
  for (const auto& result : results) {
    if (result.endpoint().address().is_v4()) return result.endpoint();
  }
  return results.begin()->endpoint();
}

}  // namespace

Listener::Listener(asio::io_context& io, const std::string& host, int port)
    : io_(io), acceptor_(io), pause_(io) {
  if (host.starts_with(kUnixPrefix)) {
    listen_unix(host.substr(kUnixPrefix.size()));
  } else {
    listen_tcp(host, port);
  }
}

Listener::~Listener() { close(); }

void Listener::listen_tcp(const std::string& host, int port) {
  const tcp::endpoint endpoint = resolve(io_, host, port);
  acceptor_.open(Protocol(endpoint.protocol()));
  acceptor_.set_option(asio::socket_base::reuse_address(true));
  error_code error;
  acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
  if (error) fail_to_bind(error, host, port);
  tcp::endpoint bound;
  const auto local = acceptor_.local_endpoint();
  bound.resize(local.size());
  std::memcpy(bound.data(), local.data(), local.size());
  port_ = bound.port();
  local_ = endpoint.address().is_loopback();
  const bool v6 = endpoint.address().is_v6();
  where_ =
      fmt::format("{}{}{}:{}", v6 ? "[" : "", endpoint.address().to_string(), v6 ? "]" : "", port_);
}

void Listener::listen_unix(const std::string& path) {
  using asio::local::stream_protocol;
  constexpr size_t kLongestPath = 107;
  ASHLAR_CHECK(!path.empty() && path.size() <= kLongestPath,
               "socket path '{}': has {} bytes, wanted 1 to {}", path, path.size(), kLongestPath);
  const stream_protocol::endpoint endpoint(path);
  error_code error;
  if (std::filesystem::is_socket(path)) {
    stream_protocol::socket probe(io_);
    probe.connect(endpoint, error);
    ASHLAR_CHECK(error, "socket {} is in use by another server; choose another path", path);
    std::filesystem::remove(path);  // left by a server that is gone
  }
  acceptor_.open(Protocol(endpoint.protocol()));
  acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
  ASHLAR_CHECK(!error, "cannot listen on socket {}: {}", path, error.message());
  socket_file_ = path;
  where_ = std::string(kUnixPrefix) + path;
}

void Listener::accept(std::function<void(Socket)> on_socket) {
  on_socket_ = std::move(on_socket);
  next();
}

void Listener::next() {
  acceptor_.async_accept([this](const error_code& error, Socket socket) {
    if (error == asio::error::operation_aborted || !acceptor_.is_open()) return;
    if (!error) {
      if (port_ != 0) {
        error_code ignored;
        socket.set_option(tcp::no_delay(true), ignored);
      }
      on_socket_(std::move(socket));
      return next();
    }
    // Out of file descriptors, most likely: trying again at once would spin.
    log::warn("http event=accept_failed error=\"{}\"", error.message());
    pause_.expires_after(std::chrono::milliseconds(100));
    pause_.async_wait([this](const error_code& stopped) {
      if (!stopped) next();
    });
  });
}

void Listener::close() {
  error_code ignored;
  acceptor_.close(ignored);
  pause_.cancel();
  if (!socket_file_.empty()) {
    std::error_code gone;
    std::filesystem::remove(std::exchange(socket_file_, ""), gone);
  }
}

}  // namespace ashlar::serve
