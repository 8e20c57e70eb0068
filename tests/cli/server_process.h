// `ashlar serve` as a process of its own, on a free port.
#pragma once

#include "tests/base/temp_dir.h"

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace ashlar::cli {

class ServerProcess {
 public:
  using Environment = std::vector<std::pair<std::string, std::string>>;

  // Starts it and waits until it says that it serves. Throws Error with what it printed when it
  // ends before.
  explicit ServerProcess(const std::string& model, std::vector<std::string> flags = {},
                         const Environment& environment = {});
  ~ServerProcess();
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  uint16_t port() const { return port_; }
  std::string log() const;  // what it printed on stderr so far
  void signal(int number);  // SIGTERM drains
  int wait();               // the exit code; 128 + n after signal n
  bool running();

 private:
  testing::TempDir folder_;
  pid_t pid_ = -1;
  int status_ = 0;
  uint16_t port_ = 0;
};

}  // namespace ashlar::cli
