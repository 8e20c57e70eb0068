// XXH64 of the contents of files, remembered by path, size, inode and time of change, so that a
// file that did not change is not read again (as git's index does it). The memory is one small file
// in the cache folder; losing it costs only time.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace ashlar::data {

class ContentHashes {
 public:
  explicit ContentHashes(std::string memory_path);

  // Of the first `bytes` bytes of the file.
  uint64_t of(const std::string& path, int64_t bytes);
  // Writes what was learnt. A folder that cannot be written is no error.
  void save();

 private:
  struct Entry {
    int64_t bytes = 0, size = 0, inode = 0, changed_ns = 0;
    uint64_t hash = 0;
  };

  std::string memory_path_;
  std::map<std::string, Entry> entries_;
  bool altered_ = false;
};

}  // namespace ashlar::data
