// Events of one request, from the engine's thread to the HTTP thread. The engine only appends to a
// list; what has gathered is handed over in one go.
#pragma once

#include "ashlar/serve/backend.h"
#include "ashlar/serve/http/io_post.h"

#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace ashlar::serve {

class EventQueue : public EventSink, public std::enable_shared_from_this<EventQueue> {
 public:
  using Receiver = std::function<void(std::vector<Event>)>;

  // `receive` is called on the HTTP thread.
  EventQueue(std::shared_ptr<IoPost> post, Receiver receive)
      : post_(std::move(post)), receive_(std::move(receive)) {}

  void on_event(Event event) noexcept override {
    bool first = false;
    {
      const std::lock_guard lock(mutex_);
      first = events_.empty();
      events_.push_back(std::move(event));
    }
    if (first) post_->post([self = shared_from_this()] { self->hand_over(); });
  }

 private:
  void hand_over() {
    std::vector<Event> events;
    {
      const std::lock_guard lock(mutex_);
      events.swap(events_);
    }
    receive_(std::move(events));
  }

  std::shared_ptr<IoPost> post_;
  const Receiver receive_;
  std::mutex mutex_;
  std::vector<Event> events_;
};

}  // namespace ashlar::serve
