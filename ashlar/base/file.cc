#include "ashlar/base/file.h"

#include "ashlar/base/error.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

namespace ashlar {
namespace fs = std::filesystem;
namespace {

class Descriptor {
 public:
  Descriptor(const std::string& path, int flags) : fd_(::open(path.c_str(), flags | O_CLOEXEC)) {
    ASHLAR_CHECK(fd_ >= 0, "cannot open {}: {}", path, std::strerror(errno));
  }
  ~Descriptor() { ::close(fd_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

}  // namespace

std::string read_file(const std::string& path, int64_t max_bytes) {
  const Descriptor file(path, O_RDONLY);
  struct stat info {};
  ASHLAR_CHECK(::fstat(file.get(), &info) == 0, "cannot read {}: {}", path, std::strerror(errno));
  ASHLAR_CHECK(info.st_size <= max_bytes, "cannot read {}: {} bytes, at most {} are allowed", path,
               static_cast<int64_t>(info.st_size), max_bytes);
  // The size is only a hint: files of /proc say 0, others may grow while we read.
  std::string content;
  size_t filled = 0;
  for (size_t room = static_cast<size_t>(info.st_size) + 1;; room = 65536) {
    content.resize(filled + room);
    const ssize_t got = ::read(file.get(), content.data() + filled, room);
    if (got < 0 && errno == EINTR) continue;
    ASHLAR_CHECK(got >= 0, "cannot read {}: {}", path, std::strerror(errno));
    filled += static_cast<size_t>(got);
    ASHLAR_CHECK(filled <= static_cast<uint64_t>(max_bytes),
                 "cannot read {}: more than the {} bytes that are allowed", path, max_bytes);
    if (got == 0) break;
  }
  content.resize(filled);
  return content;
}

int64_t file_size(const std::string& path) {
  struct stat info {};
  ASHLAR_CHECK(::stat(path.c_str(), &info) == 0, "cannot read {}: {}", path, std::strerror(errno));
  return info.st_size;
}

bool is_file(const std::string& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

bool is_directory(const std::string& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

std::vector<std::string> list_directory(const std::string& path) {
  std::error_code error;
  fs::directory_iterator entries(path, error);
  std::vector<std::string> names;
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    names.push_back(entries->path().filename().string());
  }
  ASHLAR_CHECK(!error, "cannot list folder {}: {}", path, error.message());
  std::ranges::sort(names);
  return names;
}

void make_directories(const std::string& path) {
  std::vector<std::string> missing;
  for (std::string p = path; !p.empty() && !is_directory(p); p = parent_path(p)) {
    missing.push_back(p);
  }
  std::error_code error;
  fs::create_directories(path, error);
  if (!error && !fs::is_directory(path)) error = std::make_error_code(std::errc::not_a_directory);
  ASHLAR_CHECK(!error, "cannot create folder {}: {}", path, error.message());
  // What is published in a new folder lasts only if the folder does.
  for (const std::string& created : missing) sync_path(parent_path(created));
}

void remove_tree(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  ASHLAR_CHECK(!error, "cannot remove {}: {}", path, error.message());
}

void truncate_file(const std::string& path, int64_t bytes) {
  ASHLAR_CHECK(::truncate(path.c_str(), bytes) == 0, "cannot cut {} to {} bytes: {}", path, bytes,
               std::strerror(errno));
}

void sync_path(const std::string& path) {
  const Descriptor file(path, O_RDONLY);
  // Some file systems cannot sync a folder and say EINVAL: there is nothing more to do there.
  if (::fsync(file.get()) == 0 || errno == EINVAL) return;
  fail("cannot sync {}: {}", path, std::strerror(errno));
}

std::string join_path(const std::string& folder, std::string_view name) {
  return (fs::path(folder) / name).string();
}

std::string parent_path(const std::string& path) {
  fs::path p(path);
  if (!p.has_filename()) p = p.parent_path();  // "a/b/" is "a/b"
  return p.has_parent_path() ? p.parent_path().string() : ".";
}

std::string file_name(const std::string& path) {
  const fs::path p(path);
  return p.has_filename() ? p.filename().string() : p.parent_path().filename().string();
}

}  // namespace ashlar
