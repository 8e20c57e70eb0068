// A whole file mapped read-only. Pages come from the page cache and are shared between processes;
// release() gives ranges back once their content has been copied elsewhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace ashlar {

class MappedFile {
 public:
  MappedFile() = default;
  // Throws Error with the path and the system's reason. An empty file gives an empty span.
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }

  void will_need(size_t offset, size_t size) const;  // read ahead
  void release(size_t offset, size_t size) const;    // drop the whole pages inside the range

 private:
  std::string path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace ashlar
