// Writes a file front to back, in chunks, with a running checksum. A write that fails (full disk,
// limit, device) throws one Error with path, reason and bytes. Passes the crash points
// LABEL.before_write, after_write, before_sync and after_sync.
#pragma once

#include "ashlar/base/checksum.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ashlar {

struct FileWriterOptions {
  bool append = false;         // go on at the end of the file instead of replacing it
  std::string label = "file";  // names the crash points
};

class FileWriter {
 public:
  explicit FileWriter(std::string path, FileWriterOptions options = {});
  ~FileWriter();  // closes; call close() to learn of errors
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;

  void write(std::span<const std::byte> data);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }

  void flush();  // hands what is buffered to the system
  void sync();   // flushes and waits until the disk has it
  void close();  // flushes and closes

  const std::string& path() const { return path_; }
  int64_t bytes() const { return bytes_; }                  // written by this writer
  uint64_t checksum() const { return checksum_.digest(); }  // XXH64 of those bytes

 private:
  void write_through(std::span<const std::byte> data);
  [[noreturn]] void fail_to(const char* action) const;

  std::string path_;
  FileWriterOptions options_;
  int fd_ = -1;
  int64_t bytes_ = 0;
  int64_t handed_over_ = 0;  // bytes the system took
  Xxh64 checksum_;
  std::vector<std::byte> buffer_;
};

}  // namespace ashlar
