// HTTP/1.1 requests from a stream of bytes, however they are cut, with limits on header and body.
// Pure: no sockets, no clock. Pipelined requests wait in the buffer.
#pragma once

#include "ashlar/serve/http/message.h"
#include "ashlar/serve/http/options.h"
#include "ashlar/serve/protocol/errors.h"

#include <cstddef>
#include <memory>
#include <string_view>

namespace ashlar::serve {

class RequestReader {
 public:
  enum class State {
    kNeedMore,  // append() more bytes
    kHeader,    // the header is complete, once per request: request() lacks only its body
    kMessage,   // the request is complete
    kFailed,    // error() says why; the connection is of no more use
  };

  explicit RequestReader(const HttpLimits& limits);
  ~RequestReader();

  void append(std::string_view bytes);
  State advance();

  HttpRequest& request();
  const HttpRequest& request() const;
  const ApiError& error() const;

  bool started() const;  // a byte of the current request has come
  bool header_done() const;
  bool message_done() const;
  bool expects_continue() const;  // the client waits for "100 Continue" before its body
  size_t buffered() const;        // bytes not yet consumed

  void next();  // forgets the current request, goes on with what is buffered

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ashlar::serve
