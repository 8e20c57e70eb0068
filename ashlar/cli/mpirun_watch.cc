#include "ashlar/cli/mpirun_watch.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

namespace ashlar::cli {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto kLook = 500ms;

// In the watcher; `process` becomes readable when mpirun ends.
[[noreturn]] void watch(int mpirun, int process, std::chrono::milliseconds patience) {
  ::setsid();                                                          // Ctrl-C is for mpirun
  for (const int file : {STDIN_FILENO, STDOUT_FILENO}) ::close(file);  // its readers wait for none
  bool had_ranks = false;
  auto last_living = Clock::now();
  pollfd ended = {process, POLLIN, 0};
  while (::poll(&ended, 1, static_cast<int>(kLook / 1ms)) == 0) {
    const Children ranks = children_of(mpirun);
    had_ranks = had_ranks || ranks.living + ranks.ended > 0;
    if (ranks.living > 0) last_living = Clock::now();
    if (had_ranks && Clock::now() - last_living > patience) {
      std::fputs("ashlar: mpirun did not end when its ranks had; ended it\n", stderr);
      ::kill(mpirun, SIGKILL);
      ::_exit(1);
    }
  }
  ::_exit(0);
}

}  // namespace

Children children_of(int process) {
  Children children;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    std::ifstream file(entry.path() / "stat");
    std::string line;
    if (!std::getline(file, line)) continue;
    // "pid (name) state parent ...", where the name may hold anything.
    const size_t name_end = line.rfind(')');
    char state = 0;
    int parent = 0;
    if (name_end != std::string::npos &&
        std::sscanf(line.c_str() + name_end + 1, " %c %d", &state, &parent) == 2 &&
        parent == process) {
      ++(state == 'Z' || state == 'X' ? children.ended : children.living);
    }
  }
  return children;
}

void watch_mpirun(std::chrono::milliseconds patience) {
  const int mpirun = ::getpid();
  const auto process = static_cast<int>(::syscall(SYS_pidfd_open, mpirun, 0));
  if (process < 0) return;  // an old kernel: mpirun is on its own
  const pid_t child = ::fork();
  if (child == 0) {
    // The watcher is nobody's child, so that mpirun meets no child that it did not start.
    if (::fork() == 0) watch(mpirun, process, patience);
    ::_exit(0);
  }
  if (child > 0) ::waitpid(child, nullptr, 0);
  ::close(process);
}

}  // namespace ashlar::cli
