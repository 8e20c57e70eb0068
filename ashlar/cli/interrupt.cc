#include "ashlar/cli/interrupt.h"

#include <signal.h>
#include <unistd.h>

namespace ashlar::cli {
namespace {

// Signals reach a process, not an object.
std::atomic<bool> interrupted{false};

void end_program(int) { ::_exit(kInterrupted); }

void raise_flag(int) {
  if (interrupted.exchange(true)) ::_exit(kInterrupted);
}

void handle(int signal, void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);  // no SA_RESTART: a read of the terminal returns
  ::sigaction(signal, &action, nullptr);
}

}  // namespace

void exit_on_interrupt() { handle(SIGINT, end_program); }

InterruptFlag::InterruptFlag() {
  interrupted = false;
  handle(SIGINT, raise_flag);
  handle(SIGTERM, raise_flag);
}

InterruptFlag::~InterruptFlag() {
  handle(SIGINT, end_program);
  handle(SIGTERM, SIG_DFL);
}

bool InterruptFlag::raised() const { return interrupted; }
void InterruptFlag::lower() { interrupted = false; }
const std::atomic<bool>& InterruptFlag::flag() const { return interrupted; }

}  // namespace ashlar::cli
