// Where connections come from: a TCP address, or a UNIX socket given as unix:/path.
#pragma once

#include "ashlar/serve/http/transport.h"

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <cstdint>
#include <functional>
#include <string>

namespace ashlar::serve {

class Listener {
 public:
  // Binds and listens. Throws Error in words: a port in use, a port below 1024, an unknown host.
  Listener(boost::asio::io_context& io, const std::string& host, int port);
  ~Listener();

  void accept(std::function<void(Socket)> on_socket);
  void close();  // takes no more; removes a UNIX socket's file

  uint16_t port() const { return port_; }              // 0 for a UNIX socket
  const std::string& where() const { return where_; }  // "127.0.0.1:8000", "unix:/path"
  bool local() const { return local_; }                // only this machine can connect

 private:
  using Protocol = boost::asio::generic::stream_protocol;
  void listen_tcp(const std::string& host, int port);
  void listen_unix(const std::string& path);
  void next();

  boost::asio::io_context& io_;
  boost::asio::basic_socket_acceptor<Protocol> acceptor_;
  boost::asio::steady_timer pause_;
  std::function<void(Socket)> on_socket_;
  uint16_t port_ = 0;
  bool local_ = true;
  std::string where_;
  std::string socket_file_;
};

}  // namespace ashlar::serve
