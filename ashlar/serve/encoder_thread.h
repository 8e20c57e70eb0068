// A thread, "encoder", that does one piece of work after the other. Prompts become tokens here, so
// that a long one holds up neither the engine's steps nor what the HTTP thread streams.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace ashlar::serve {

class EncoderThread {
 public:
  EncoderThread();
  ~EncoderThread();  // after all that was posted is done
  EncoderThread(const EncoderThread&) = delete;
  EncoderThread& operator=(const EncoderThread&) = delete;

  // From any thread. Work must not throw.
  void post(std::function<void()> work);

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> posted_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace ashlar::serve
