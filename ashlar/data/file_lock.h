// A lock between processes: held by one at a time, released when the holder ends, however it does.
// Waits as long as it takes. On a file system without locks it holds nobody back.
#pragma once

#include <string>

namespace ashlar::data {

class FileLock {
 public:
  explicit FileLock(const std::string& path);  // creates the file
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int fd_ = -1;
};

}  // namespace ashlar::data
