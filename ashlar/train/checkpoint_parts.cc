#include "ashlar/train/checkpoint_parts.h"

#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/base/file_aside.h"
#include "ashlar/base/file_writer.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace ashlar::train {
namespace {

std::string parts_folder(const std::string& folder) { return join_path(folder, "parts"); }

std::string part_folder(const std::string& folder, int rank) {
  return join_path(parts_folder(folder), std::to_string(rank));
}

std::string note_path(const std::string& folder, int rank) {
  return join_path(parts_folder(folder), fmt::format("{}.failed", rank));
}

std::string lock_path(const std::string& folder, int rank) {
  return join_path(parts_folder(folder), fmt::format("{}.lock", rank));
}

// Only where the file system has locks, and the rank had begun.
bool writer_died(const std::string& folder, int rank) {
  const int fd = ::open(lock_path(folder, rank).c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return false;
  const bool free = ::flock(fd, LOCK_EX | LOCK_NB) == 0;
  ::close(fd);
  return free;
}

void check_no_note(const std::string& folder, int rank) {
  const std::string path = note_path(folder, rank);
  if (!is_file(path)) return;
  const std::string reason = read_file(path);
  fail("checkpoint {}: rank {} could not write its part: {}", published_path(folder), rank,
       reason.empty() ? "its log says why" : reason);
}

}  // namespace

PartLock::PartLock(const std::string& folder, int rank) {
  make_directories(parts_folder(folder));
  const std::string path = lock_path(folder, rank);
  // Locked before it has its name: whoever finds it finds it locked.
  const std::string unnamed = path + ".new";
  fd_ = ::open(unnamed.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  ASHLAR_CHECK(fd_ >= 0, "cannot create {}: {}", published_path(path), std::strerror(errno));
  const bool locked = ::flock(fd_, LOCK_EX | LOCK_NB) == 0;
  if (locked) ::rename(unnamed.c_str(), path.c_str());  // else there are no locks here
}

PartLock::~PartLock() { ::close(fd_); }

void publish_part(const std::string& folder, int rank, std::vector<formats::FileRecord> files) {
  const std::string part = part_folder(folder, rank);
  make_directories(part);
  try {
    formats::Manifest(std::move(files)).write(part, "checkpoint.part");
  } catch (const Error&) {
    // Once it has its name, rank 0 may take it, and the folder away, before it is synced there.
    if (is_directory(part)) throw;
  }
}

void note_failure(const std::string& folder, int rank, const std::string& reason) noexcept {
  try {
    if (!is_directory(folder)) return;  // rank 0 has given up already
    make_directories(parts_folder(folder));
    FileWriter note(note_path(folder, rank), {.label = "checkpoint.note"});
    note.write(reason);
    note.close();
  } catch (const std::exception&) {
  }
}

std::vector<formats::FileRecord> await_parts(const std::string& folder, int ranks,
                                             const std::function<bool()>& pause) {
  std::vector<formats::FileRecord> files;
  for (int rank = 1; rank < ranks; ++rank) {
    const std::string part = part_folder(folder, rank);
    while (!formats::Manifest::exists(part)) {
      for (int other = rank; other < ranks; ++other) check_no_note(folder, other);
      // It may have come to its end just now.
      if (writer_died(folder, rank) && !formats::Manifest::exists(part)) {
        check_no_note(folder, rank);
        fail("checkpoint {}: rank {} died while it wrote its part", published_path(folder), rank);
      }
      ASHLAR_CHECK(pause(),
                   "checkpoint {}: the part of rank {} did not come in time; see that rank's log, "
                   "and whether it sees the same folder",
                   published_path(folder), rank);
    }
    const formats::Manifest manifest = formats::Manifest::read(part);
    manifest.verify(folder, formats::Manifest::Depth::kSizes);
    files.insert(files.end(), manifest.files().begin(), manifest.files().end());
  }
  remove_tree(parts_folder(folder));
  return files;
}

}  // namespace ashlar::train
