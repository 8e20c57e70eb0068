#include "ashlar/base/fault_report.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <csignal>
#include <cstring>
#include <string_view>

namespace ashlar {
namespace {

struct Fault {
  int signal;
  std::string_view name;
};
constexpr std::array kFaults = {Fault{SIGSEGV, "SIGSEGV"}, Fault{SIGBUS, "SIGBUS"},
                                Fault{SIGFPE, "SIGFPE"}, Fault{SIGILL, "SIGILL"},
                                Fault{SIGABRT, "SIGABRT"}};

// Read in a signal handler: plain memory of the thread, no destructors.
struct ThreadWork {
  std::array<char, 128> who{};
  const char* op = nullptr;
  int layer = -1;
  uint64_t step = 0;
};
thread_local ThreadWork work;

// Of the thread that marked last: what a helper thread of a pool works for.
std::atomic<const char*> latest_op{nullptr};
std::atomic<int> latest_layer{-1};
std::atomic<uint64_t> latest_step{0};

// Text in a fixed buffer: a handler may not allocate.
class Line {
 public:
  void add(std::string_view text) {
    const size_t room = buffer_.size() - size_;
    const size_t length = std::min(text.size(), room);
    std::memcpy(buffer_.data() + size_, text.data(), length);
    size_ += length;
  }
  void add(int64_t number) {
    std::array<char, 24> digits{};
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
    add(std::string_view(digits.data(), static_cast<size_t>(end - digits.data())));
  }
  void write() const {
    // Nothing can be done about a stderr that takes no more.
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, buffer_.data(), size_);
  }

 private:
  std::array<char, 512> buffer_{};
  size_t size_ = 0;
};

void on_fault(int signal) {
  const auto found = std::find_if(kFaults.begin(), kFaults.end(),
                                  [&](const Fault& f) { return f.signal == signal; });
  const bool own = work.op != nullptr;
  const char* const op = own ? work.op : latest_op.load();
  const int layer = own ? work.layer : latest_layer.load();
  Line line;
  line.add("\nashlar: ");
  if (work.who[0] != '\0') {
    line.add(work.who.data());
    line.add(": ");
  }
  line.add("ended by ");
  line.add(found == kFaults.end() ? "a signal" : found->name);
  if (op != nullptr) {
    line.add(" in op ");
    line.add(op);
    if (layer >= 0) {
      line.add(" (layer ");
      line.add(int64_t{layer});
      line.add(")");
    }
    line.add(", step ");
    line.add(static_cast<int64_t>(own ? work.step : latest_step.load()));
  }
  line.add("; --resume goes on from the newest checkpoint\n");
  line.write();
  ::raise(signal);  // the default action again: SA_RESETHAND
}

}  // namespace

void report_faults(const std::string& who) {
  work.who.fill('\0');
  who.copy(work.who.data(), work.who.size() - 1);
  struct sigaction action = {};
  action.sa_handler = on_fault;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_NODEFER);
  for (const Fault& fault : kFaults) ::sigaction(fault.signal, &action, nullptr);
}

void mark_work(const char* op, int layer, uint64_t step) {
  work.op = op;
  work.layer = layer;
  work.step = step;
  latest_op.store(op, std::memory_order_relaxed);
  latest_layer.store(layer, std::memory_order_relaxed);
  latest_step.store(step, std::memory_order_relaxed);
}

}  // namespace ashlar
