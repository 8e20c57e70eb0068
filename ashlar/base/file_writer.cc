#include "ashlar/base/file_writer.h"

#include "ashlar/base/crash_point.h"
#include "ashlar/base/error.h"
#include "ashlar/base/file_aside.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace ashlar {
namespace {

constexpr size_t kBuffer = size_t{1} << 18;  // small writes are gathered up to this
constexpr size_t kChunk = size_t{1} << 20;   // large ones go out in pieces that stay in cache

}  // namespace

FileWriter::FileWriter(std::string path, FileWriterOptions options)
    : path_(std::move(path)), options_(std::move(options)) {
  const int how = options_.append ? O_APPEND : O_TRUNC;
  fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | how, 0666);
  ASHLAR_CHECK(fd_ >= 0, "cannot create {}: {}", published_path(path_), std::strerror(errno));
}

FileWriter::~FileWriter() {
  try {
    close();
  } catch (const Error&) {
    // Whoever needs to know calls close().
  }
}

void FileWriter::fail_to(const char* action) const {
  const int reason = errno;
  const char* fix = reason == ENOSPC || reason == EDQUOT ? "; free some space and try again" : "";
  fail("cannot {} {}: {} after {} bytes{}", action, published_path(path_), std::strerror(reason),
       handed_over_, fix);
}

void FileWriter::write(std::span<const std::byte> data) {
  bytes_ += static_cast<int64_t>(data.size());
  if (buffer_.size() + data.size() > kBuffer) flush();
  if (data.size() < kBuffer) {
    checksum_.update(data);
    buffer_.insert(buffer_.end(), data.begin(), data.end());
    return;
  }
  while (!data.empty()) {
    const auto chunk = data.first(std::min(data.size(), kChunk));
    checksum_.update(chunk);
    write_through(chunk);
    data = data.subspan(chunk.size());
  }
}

void FileWriter::write_through(std::span<const std::byte> data) {
  while (!data.empty()) {
    crash_point(options_.label, "before_write");
    const ssize_t written = ::write(fd_, data.data(), data.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail_to("write");
    handed_over_ += written;
    data = data.subspan(static_cast<size_t>(written));
    crash_point(options_.label, "after_write");
  }
}

void FileWriter::flush() {
  // Emptied first: after a failure the destructor must not write the same bytes again.
  const std::vector<std::byte> pending = std::exchange(buffer_, {});
  write_through(pending);
}

void FileWriter::sync() {
  flush();
  crash_point(options_.label, "before_sync");
  if (::fsync(fd_) != 0) fail_to("sync");
  crash_point(options_.label, "after_sync");
}

void FileWriter::close() {
  if (fd_ < 0) return;
  try {
    flush();
  } catch (const Error&) {
    ::close(std::exchange(fd_, -1));
    throw;
  }
  if (::close(std::exchange(fd_, -1)) != 0) fail_to("close");
}

}  // namespace ashlar
