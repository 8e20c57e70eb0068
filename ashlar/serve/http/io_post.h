// Hands work to the HTTP thread from any other. Harmless after the server is gone: the work is then
// dropped, so sinks and replies may outlive it.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include <functional>
#include <mutex>
#include <utility>

namespace ashlar::serve {

class IoPost {
 public:
  explicit IoPost(boost::asio::io_context& io) : io_(&io) {}

  void post(std::function<void()> work) {
    const std::lock_guard lock(mutex_);
    if (io_ != nullptr) boost::asio::post(*io_, std::move(work));
  }

  void close() {
    const std::lock_guard lock(mutex_);
    io_ = nullptr;
  }

 private:
  std::mutex mutex_;
  boost::asio::io_context* io_;
};

}  // namespace ashlar::serve
