#include "tests/cli/server_process.h"

#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "tests/base/paths.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <regex>
#include <thread>

namespace ashlar::cli {

ServerProcess::ServerProcess(const std::string& model, std::vector<std::string> flags,
                             const Environment& environment) {
  std::vector<std::string> words = {ashlar_binary(), "serve", model, "--port", "0"};
  words.insert(words.end(), flags.begin(), flags.end());
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const std::string log_path = folder_.path("log");
  pid_ = ::fork();
  ASHLAR_CHECK(pid_ >= 0, "cannot fork");
  if (pid_ == 0) {
    const int log = ::open(log_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ::dup2(log, STDERR_FILENO);
    for (const auto& [name, value] : environment) ::setenv(name.c_str(), value.c_str(), 1);
    ::execv(arguments[0], arguments.data());
    ::_exit(127);
  }
  const std::regex address("serving [^\n]* at http://[^ \n]*:([0-9]+) after");
  for (int i = 0; i < 6000 && port_ == 0; ++i) {
    std::smatch found;
    const std::string text = log();
    if (std::regex_search(text, found, address)) {
      port_ = static_cast<uint16_t>(std::stoi(found[1]));
    } else {
      ASHLAR_CHECK(running(), "the server ended: {}", text);
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
  ASHLAR_CHECK(port_ != 0, "the server does not say where it listens: {}", log());
}

ServerProcess::~ServerProcess() {
  if (running()) {
    ::kill(pid_, SIGKILL);
    wait();
  }
}

std::string ServerProcess::log() const {
  const std::string path = folder_.path("log");
  return is_file(path) ? read_file(path) : "";
}

void ServerProcess::signal(int number) {
  if (pid_ > 0) ::kill(pid_, number);
}

bool ServerProcess::running() {
  if (pid_ > 0 && ::waitpid(pid_, &status_, WNOHANG) == pid_) pid_ = -1;
  return pid_ > 0;
}

int ServerProcess::wait() {
  if (pid_ > 0) ::waitpid(pid_, &status_, 0);
  pid_ = -1;
  return WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_);
}

}  // namespace ashlar::cli
