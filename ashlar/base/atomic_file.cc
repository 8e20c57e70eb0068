#include "ashlar/base/atomic_file.h"

#include "ashlar/base/crash_point.h"
#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/base/file_aside.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

namespace ashlar {
namespace fs = std::filesystem;
namespace {

bool has_entries(const std::string& folder) {
  return is_directory(folder) && !list_directory(folder).empty();
}

// Devices, pipes and what stands for an open file (/dev/stdout): they are written to as they are. A
// rename would put a plain file in their place.
bool is_stream(const std::string& path) {
  std::error_code ignored;
  const fs::file_status status = fs::status(path, ignored);
  if (fs::is_other(status)) return true;
  return fs::is_symlink(fs::symlink_status(path, ignored)) &&
         fs::read_symlink(path, ignored).string().starts_with("/proc/");
}

void sync_tree(const std::string& folder, const std::string& label) {
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file() && !entry.is_directory()) continue;
    crash_point(label, "before_sync");
    sync_path(entry.path().string());
    crash_point(label, "after_sync");
  }
  sync_path(folder);
}

}  // namespace

void remove_leftovers(const std::string& folder) {
  for (const std::string& name : list_directory(folder)) {
    if (!is_aside_name(name)) continue;
    const std::string path = join_path(folder, name);
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) continue;
    // No lock to be had: its writer lives, or the file system has no locks and we cannot know.
    const bool dead = ::flock(fd, LOCK_EX | LOCK_NB) == 0;
    std::error_code ignored;  // a leftover that cannot be removed does no harm
    if (dead) fs::remove_all(path, ignored);
    ::close(fd);
  }
}

AsideEntry::AsideEntry(const std::string& target, Kind kind) : target_(target), kind_(kind) {
  ASHLAR_CHECK(!is_stream(target), "cannot write {}: a device or pipe; wanted the name of a {}",
               published_path(target), kind == Kind::kFile ? "file" : "folder");
  const std::string folder = parent_path(target);
  ASHLAR_CHECK(is_directory(folder), "cannot write {}: there is no folder {}",
               published_path(target), published_path(folder));
  remove_leftovers(folder);
  while (!create(aside_path(target))) {
  }
}

// False if someone else's cleaning took the entry before we had locked it.
bool AsideEntry::create(const std::string& path) {
  const bool directory = kind_ == Kind::kDirectory;
  if (directory) {
    const bool made = ::mkdir(path.c_str(), 0777) == 0;
    if (!made && errno == EEXIST) return false;  // left by a process with our id
    ASHLAR_CHECK(made, "cannot create folder {}: {}", published_path(target_),
                 std::strerror(errno));
  }
  const int flags = directory ? O_RDONLY | O_DIRECTORY : O_RDWR | O_CREAT | O_EXCL;
  lock_ = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
  if (lock_ < 0 && errno == (directory ? ENOENT : EEXIST)) return false;
  ASHLAR_CHECK(lock_ >= 0, "cannot create {}: {}", published_path(target_), std::strerror(errno));
  path_ = path;
  struct stat info {};
  // Where the file system has no locks, nobody can take ours for a leftover either.
  if (::flock(lock_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) {
    if (::fstat(lock_, &info) == 0 && info.st_nlink > 0) return true;
  }
  ::close(std::exchange(lock_, -1));
  return false;
}

AsideEntry::~AsideEntry() {
  std::error_code ignored;
  if (!published_ && !path_.empty()) fs::remove_all(path_, ignored);
  if (lock_ >= 0) ::close(lock_);
}

void AsideEntry::publish(const std::string& label) {
  crash_point(label, "before_rename");
  // A folder with content cannot be renamed over; the two change names in one step instead, and
  // ours, now the old one, is removed.
  const bool exchange = kind_ == Kind::kDirectory && has_entries(target_);
  const int result =
      exchange ? ::renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, target_.c_str(), RENAME_EXCHANGE)
               : std::rename(path_.c_str(), target_.c_str());
  ASHLAR_CHECK(result == 0, "cannot {} {}: {}", exchange ? "replace" : "create",
               published_path(target_), std::strerror(errno));
  published_ = true;
  crash_point(label, "after_rename");
  sync_path(parent_path(target_));
  crash_point(label, "after_publish");
  if (exchange) remove_tree(path_);
}

AtomicFile::AtomicFile(const std::string& path, const std::string& label)
    : aside_(path, AsideEntry::Kind::kFile),
      writer_(aside_.path(), {.label = label}),
      label_(label) {}

void AtomicFile::commit() {
  writer_.sync();
  writer_.close();
  aside_.publish(label_);
}

void write_file(const std::string& path, std::string_view content, const std::string& label) {
  if (is_stream(path)) {
    FileWriter stream(path, {.append = true, .label = label});
    stream.write(content);
    return stream.close();
  }
  AtomicFile file(path, label);
  file.write(content);
  file.commit();
}

AtomicDirectory::AtomicDirectory(const std::string& path, const std::string& label)
    : aside_(path, AsideEntry::Kind::kDirectory), label_(label) {}

std::string AtomicDirectory::path(std::string_view name) const {
  return join_path(aside_.path(), name);
}

void AtomicDirectory::commit() {
  sync_tree(aside_.path(), label_);
  aside_.publish(label_);
}

}  // namespace ashlar
