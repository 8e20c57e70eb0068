#include "ashlar/cli/interrupt.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

namespace ashlar::cli {
namespace {

// Signals reach a process, not an object.
std::atomic<bool> interrupted{false};

void end_program(int) { ::_exit(kInterrupted); }

// Readable while the flag is raised.
std::atomic<int> raised_event{-1};

// What the first signal says to who pressed the keys; null: nothing.
std::atomic<const char*> raised_note{nullptr};

void raise_flag(int) {
  if (interrupted.exchange(true)) ::_exit(kInterrupted);
  const int error = errno;
  const uint64_t one = 1;
  [[maybe_unused]] ssize_t written = ::write(raised_event, &one, sizeof one);
  if (const char* note = raised_note) written = ::write(STDERR_FILENO, note, std::strlen(note));
  errno = error;
}

void handle(int signal, void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);  // no SA_RESTART: a read of the terminal returns
  ::sigaction(signal, &action, nullptr);
}

}  // namespace

void exit_on_interrupt() { handle(SIGINT, end_program); }

InterruptFlag::InterruptFlag(const char* note) {
  interrupted = false;
  raised_note = note;
  raised_event = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  handle(SIGINT, raise_flag);
  handle(SIGTERM, raise_flag);
}

InterruptFlag::~InterruptFlag() {
  handle(SIGINT, end_program);
  handle(SIGTERM, SIG_DFL);
  ::close(raised_event.exchange(-1));
}

bool InterruptFlag::raised() const { return interrupted; }

void InterruptFlag::lower() {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t taken = ::read(raised_event, &count, sizeof count);
  interrupted = false;
}

bool InterruptFlag::wait_readable(int file) const {
  pollfd waited[] = {{raised_event, POLLIN, 0}, {file, POLLIN, 0}};
  while (::poll(waited, 2, -1) < 0) {
    if (errno != EINTR) return true;  // reading will tell what is wrong
  }
  return !raised();
}
const std::atomic<bool>& InterruptFlag::flag() const { return interrupted; }

}  // namespace ashlar::cli
