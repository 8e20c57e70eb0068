// Ctrl-C. By default it ends the program with exit code 130; while an InterruptFlag lives the first
// one only raises the flag, so that work in hand can be saved, and the second one ends the program.
#pragma once

#include <atomic>

namespace ashlar::cli {

constexpr int kInterrupted = 130;

// Once at start: SIGINT exits with 130 instead of ending by the signal.
void exit_on_interrupt();

// One at a time. SIGTERM raises it too. The note, a line that lives as long as the program, is what
// the first signal writes to stderr at once, for work that goes on a while before it sees the flag.
class InterruptFlag {
 public:
  explicit InterruptFlag(const char* note = nullptr);
  ~InterruptFlag();
  InterruptFlag(const InterruptFlag&) = delete;
  InterruptFlag& operator=(const InterruptFlag&) = delete;

  bool raised() const;
  void lower();
  // Waits until the file has something to read or has ended; false when the flag is raised first.
  // A signal that comes just before is not missed.
  bool wait_readable(int file) const;
  // What others poll; lives as long as the program.
  const std::atomic<bool>& flag() const;
};

}  // namespace ashlar::cli
