// A folder of a test's own, removed at its end.
#pragma once

#include "ashlar/base/error.h"
#include "ashlar/base/file.h"

#include <stdlib.h>

#include <filesystem>
#include <string>
#include <string_view>

namespace ashlar::testing {

class TempDir {
 public:
  TempDir() : path_((std::filesystem::temp_directory_path() / "ashlar-test-XXXXXX").string()) {
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
