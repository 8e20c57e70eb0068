// What stands between the program and the C library: full_disk.h and power_loss.h.
#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "tests/train/full_disk.h"
#include "tests/train/power_loss.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>
#include <sstream>
#include <vector>

namespace ashlar::train::testing {
namespace {

namespace fs = std::filesystem;

// Set once, before the child starts any thread.
std::string watched;       // NOLINT: what the functions below stand in for is global too
std::string journal_path;  // NOLINT
int journal = -1;
std::atomic<int> backups{0};
std::mutex disk_mutex;    // NOLINT
std::string full_folder;  // NOLINT
int64_t disk_room = -1;   // < 0: enough

bool below(const char* path) { return journal >= 0 && std::string(path).starts_with(watched); }

std::string path_of(int fd) {
  char path[PATH_MAX];
  const std::string link = fmt::format("/proc/self/fd/{}", fd);
  const ssize_t length = ::readlink(link.c_str(), path, sizeof path);
  return length < 0 ? "" : std::string(path, static_cast<size_t>(length));
}

// How much of a write fits on the disk.
size_t fitting(int fd, size_t size) {
  const std::lock_guard lock(disk_mutex);
  if (disk_room < 0 || !path_of(fd).starts_with(full_folder)) return size;
  const size_t fits = std::min(size, static_cast<size_t>(disk_room));
  disk_room -= static_cast<int64_t>(fits);
  return fits;
}

struct stat status_of(const std::string& path) {
  struct stat status {};
  ::stat(path.c_str(), &status);
  return status;
}

void note(const std::string& line) {
  if (::syscall(SYS_write, journal, line.data(), line.size()) < 0) ::abort();
}

void note_rename(const char* how, const char* from, const char* to) {
  // What is replaced is kept aside, so that it can come back.
  const std::string backup = fmt::format("{}.{}", journal_path, backups.fetch_add(1));
  const bool replaced = std::string_view(how) == "rename" && ::link(to, backup.c_str()) == 0;
  note(fmt::format("{} {} {} {} {}\n", how, status_of(parent_path(to)).st_ino, from, to,
                   replaced ? backup : "-"));
}

}  // namespace

void note_writes(const std::string& folder, const std::string& path) {
  watched = folder;
  journal_path = path;
  journal = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  ASHLAR_CHECK(journal >= 0, "cannot create {}", path);
}

void fill_disk(const std::string& folder, int64_t room) {
  const std::lock_guard lock(disk_mutex);
  full_folder = folder;
  disk_room = room;
}

int lose_power(const std::string& folder, const std::string& path) {
  struct Rename {
    std::string how, from, to, backup;
    ino_t parent = 0;
    bool synced = false;
  };
  std::map<ino_t, off_t> synced_size;
  std::vector<Rename> renames;
  int lost = 0;
  std::istringstream lines(read_file(path));
  for (std::string what; lines >> what;) {
    if (what == "write" || what == "sync") {
      ino_t inode = 0;
      off_t size = 0;
      lines >> inode >> size;
      if (what == "sync") {
        synced_size[inode] = size;
      } else {
        synced_size.try_emplace(inode, size);
      }
    } else if (what == "sync_folder") {
      ino_t inode = 0;
      lines >> inode;
      for (Rename& rename : renames) rename.synced = rename.synced || rename.parent == inode;
    } else {
      Rename rename{.how = what, .from = {}, .to = {}, .backup = {}};
      lines >> rename.parent >> rename.from >> rename.to >> rename.backup;
      renames.push_back(rename);
    }
  }
  for (auto rename = renames.rbegin(); rename != renames.rend(); ++rename) {
    if (rename->synced || !fs::exists(rename->to)) continue;
    ++lost;
    if (rename->how == "exchange") {
      ASHLAR_CHECK(::renameat2(AT_FDCWD, rename->from.c_str(), AT_FDCWD, rename->to.c_str(),
                               RENAME_EXCHANGE) == 0,
                   "cannot exchange {}", rename->to);
      continue;
    }
    fs::rename(rename->to, rename->from);
    if (rename->backup != "-") fs::rename(rename->backup, rename->to);
  }
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    const struct stat status = status_of(entry.path().string());
    const auto found = synced_size.find(status.st_ino);
    if (found == synced_size.end() || found->second >= status.st_size) continue;
    truncate_file(entry.path().string(), found->second);
    ++lost;
  }
  return lost;
}

}  // namespace ashlar::train::testing

// These stand before the C library's in this program; without a journal they only pass on.
extern "C" {

using namespace ashlar::train::testing;  // NOLINT

ssize_t write(int fd, const void* data, size_t size) {
  if (journal >= 0 && below(path_of(fd).c_str())) {
    struct stat status {};
    ::fstat(fd, &status);
    note(fmt::format("write {} {}\n", status.st_ino, status.st_size));
  }
  const size_t fits = fitting(fd, size);
  if (fits == 0 && size > 0) {
    errno = ENOSPC;
    return -1;
  }
  return ::syscall(SYS_write, fd, data, fits);
}

int fsync(int fd) {
  struct stat status {};
  const bool noted = journal >= 0 && below(path_of(fd).c_str()) && ::fstat(fd, &status) == 0;
  const auto result = static_cast<int>(::syscall(SYS_fsync, fd));
  if (noted && S_ISDIR(status.st_mode)) {
    note(fmt::format("sync_folder {}\n", status.st_ino));
  } else if (noted) {
    note(fmt::format("sync {} {}\n", status.st_ino, status.st_size));
  }
  return result;
}

int rename(const char* from, const char* to) noexcept {
  if (below(to)) note_rename("rename", from, to);
  return static_cast<int>(::syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}

int renameat2(int from_folder, const char* from, int to_folder, const char* to,
              unsigned int flags) noexcept {
  if (below(to)) note_rename(flags == RENAME_EXCHANGE ? "exchange" : "rename", from, to);
  return static_cast<int>(::syscall(SYS_renameat2, from_folder, from, to_folder, to, flags));
}
}
