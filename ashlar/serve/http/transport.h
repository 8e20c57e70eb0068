// A connected socket, plain (TCP or UNIX) or under TLS, behind one small interface. Completions run
// on the HTTP thread, never inside the call that starts them. At most one read and one write at
// once.
#pragma once

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/system/error_code.hpp>

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace ashlar::serve {

using Socket = boost::asio::generic::stream_protocol::socket;

class Transport {
 public:
  using Done = std::function<void(const boost::system::error_code&, size_t bytes)>;

  virtual ~Transport() = default;
  virtual void handshake(Done done) = 0;
  virtual void read_some(std::span<char> into, Done done) = 0;
  virtual void write_some(std::string_view data, Done done) = 0;
  virtual void finish_sending(Done done) = 0;  // the peer sees the end of what was sent
  virtual void close() = 0;                    // completes what is pending with an error
};

std::unique_ptr<Transport> plain_transport(Socket socket);
std::unique_ptr<Transport> tls_transport(Socket socket, boost::asio::ssl::context& context);

// A context from PEM files, TLS 1.2 or newer. Throws Error naming the file and what is wrong.
std::unique_ptr<boost::asio::ssl::context> load_tls(const std::string& cert_file,
                                                    const std::string& key_file);

}  // namespace ashlar::serve
