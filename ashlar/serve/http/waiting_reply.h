// An exchange that waits for one Reply of the backend: the result becomes the response, a fault an
// error response. When the client goes away meanwhile, the reply falls on nothing.
#pragma once

#include "ashlar/serve/http/connection.h"
#include "ashlar/serve/http/exchange.h"
#include "ashlar/serve/http/io_post.h"

#include <functional>
#include <memory>
#include <utility>
#include <variant>

namespace ashlar::serve {

class WaitingReply : public Activity {
 public:
  explicit WaitingReply(Exchange& exchange) : exchange_(exchange) {}
  void respond(HttpResponse response) { exchange_.respond(std::move(response)); }
  void respond(const Fault& fault) { respond(error_response(api_error(fault))); }
  void shut_down() override {
    respond(Fault{FaultKind::kShuttingDown, "the server is shutting down", "", 1});
  }

 private:
  Exchange& exchange_;  // outlives its activity
};

template <typename T>
Reply<T> wait_for(Exchange& exchange, std::shared_ptr<IoPost> post,
                  std::function<HttpResponse(const T&)> to_response) {
  const auto waiting = std::make_shared<WaitingReply>(exchange);
  exchange.attach(waiting);
  return [post = std::move(post), to_response = std::move(to_response),
          weak = std::weak_ptr(waiting)](std::variant<T, Fault> result) {
    post->post([to_response, weak, result = std::move(result)] {
      const auto alive = weak.lock();
      if (alive == nullptr) return;
      if (const auto* fault = std::get_if<Fault>(&result)) return alive->respond(*fault);
      alive->respond(to_response(std::get<T>(result)));
    });
  };
}

}  // namespace ashlar::serve
