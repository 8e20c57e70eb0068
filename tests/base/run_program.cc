#include "tests/base/run_program.h"

#include "ashlar/base/error.h"
#include "ashlar/base/file.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <string_view>

extern char** environ;

namespace ashlar::testing {
namespace {

// A file in memory: a stream of any length that nobody needs to drain meanwhile.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view content = "") : fd_(::memfd_create("stream", MFD_CLOEXEC)) {
    ASHLAR_CHECK(fd_ >= 0, "memfd_create: {}", std::strerror(errno));
    const auto size = static_cast<ssize_t>(content.size());
    ASHLAR_CHECK(::write(fd_, content.data(), content.size()) == size, "cannot fill a stream");
    ::lseek(fd_, 0, SEEK_SET);
  }
  ~MemoryFile() { ::close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  int fd() const { return fd_; }
  std::string content() const { return read_file("/proc/self/fd/" + std::to_string(fd_)); }

 private:
  int fd_;
};

std::vector<std::string> environment(const ProgramOptions& options) {
  std::map<std::string, std::string> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const size_t equals = text.find('=');
    if (equals != std::string::npos) variables[text.substr(0, equals)] = text.substr(equals + 1);
  }
  for (const auto& [name, value] : options.env) {
    variables[name] = value;
    if (value.empty()) variables.erase(name);
  }
  std::vector<std::string> entries;
  for (const auto& [name, value] : variables) entries.push_back(name + "=" + value);
  return entries;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

}  // namespace

ProgramResult run_program(const std::vector<std::string>& arguments,
                          const ProgramOptions& options) {
  const MemoryFile in(options.stdin_text), out, err;
  // The program holds the pipe's writing end: when it ends, the reading end sees it.
  int alive[2];
  ASHLAR_CHECK(::pipe2(alive, O_CLOEXEC) == 0, "pipe: {}", std::strerror(errno));

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in.fd(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out.fd(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, err.fd(), STDERR_FILENO);
  posix_spawn_file_actions_adddup2(&actions, alive[1], 199);  // the copy survives exec
  posix_spawn_file_actions_addchdir_np(&actions, options.folder.c_str());
  std::vector<std::string> words = arguments, variables = environment(options);
  pid_t pid = 0;
  const int error = ::posix_spawnp(&pid, words[0].c_str(), &actions, nullptr,
                                   pointers(words).data(), pointers(variables).data());
  posix_spawn_file_actions_destroy(&actions);
  ::close(alive[1]);

  ProgramResult result;
  if (error == 0) {
    pollfd end{alive[0], POLLIN, 0};
    result.timed_out = ::poll(&end, 1, static_cast<int>(options.timeout_s * 1000)) == 0;
    if (result.timed_out) ::kill(pid, SIGKILL);
  }
  ::close(alive[0]);
  ASHLAR_CHECK(error == 0, "cannot start {}: {}", words[0], std::strerror(error));

  int status = 0;
  ::waitpid(pid, &status, 0);
  if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) result.signal = WTERMSIG(status);
  result.out = out.content();
  result.err = err.content();
  return result;
}

}  // namespace ashlar::testing
