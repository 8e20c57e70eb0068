#include "ashlar/serve/encoder_thread.h"

#include <pthread.h>

#include <utility>

namespace ashlar::serve {

EncoderThread::EncoderThread() : thread_([this] { run(); }) {
  pthread_setname_np(thread_.native_handle(), "encoder");
}

EncoderThread::~EncoderThread() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void EncoderThread::post(std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(work));
  }
  wake_.notify_one();
}

void EncoderThread::run() {
  while (true) {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [this] { return stop_ || !posted_.empty(); });
    if (posted_.empty()) return;
    const std::function<void()> work = std::move(posted_.front());
    posted_.pop_front();
    lock.unlock();
    work();
  }
}

}  // namespace ashlar::serve
