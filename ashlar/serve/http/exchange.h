// One request and its answer, as handlers see them. All calls are made on the HTTP thread. An
// answer is either one respond(), or open_stream(), send()s and end_stream().
#pragma once

#include "ashlar/serve/http/message.h"

#include <memory>
#include <string_view>

namespace ashlar::serve {

// Work that goes on after a handler has returned; dropped when the exchange is over.
class Activity {
 public:
  virtual ~Activity() = default;
  virtual void client_gone() {}   // nobody reads the answer: stop working on it
  virtual void shut_down() = 0;   // the server ends now: answer with an error
  virtual void stream_quiet() {}  // nothing was sent for a while
};

class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual const HttpRequest& request() const = 0;
  virtual void respond(HttpResponse response) = 0;
  virtual void open_stream(HttpHeaders headers) = 0;  // 200, text/event-stream
  virtual void send(std::string_view data) = 0;
  virtual void end_stream() = 0;
  virtual void attach(std::shared_ptr<Activity> activity) = 0;
};

}  // namespace ashlar::serve
