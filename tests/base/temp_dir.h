// A folder of a test's own, removed at its end.
#pragma once

#include "ashlar/base/error.h"
#include "ashlar/base/file.h"

#include <stdlib.h>

#include <filesystem>
#include <string>
#include <string_view>

namespace ashlar::testing {

// For tests that sync often: /dev/shm where there is one.
inline std::string quick_folder() {
  return is_directory("/dev/shm") ? "/dev/shm" : std::filesystem::temp_directory_path().string();
}

class TempDir {
 public:
  TempDir() : TempDir(std::filesystem::temp_directory_path().string()) {}
  explicit TempDir(const std::string& parent) : path_(join_path(parent, "ashlar-test-XXXXXX")) {
    ASHLAR_CHECK(::mkdtemp(path_.data()) != nullptr, "cannot create {}", path_);
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }
  std::string path(std::string_view name) const { return join_path(path_, name); }

 private:
  std::string path_;
};

}  // namespace ashlar::testing
