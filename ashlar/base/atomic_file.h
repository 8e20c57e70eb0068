// Files and folders that appear whole or not at all: written aside in the same folder as
// .NAME.tmp-PID-N, synced, renamed, the parent synced. Until commit() returns, a reader (and a
// machine that lost power) finds the previous content. What dead writers left is removed.
#pragma once

#include "ashlar/base/file_writer.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace ashlar {

// The name aside. It is locked (flock) while its writer lives: that tells a leftover from another
// writer's work, whatever process ids were reused since.
class AsideEntry {
 public:
  enum class Kind { kFile, kDirectory };
  AsideEntry(const std::string& target, Kind kind);
  ~AsideEntry();  // removes what was not published
  AsideEntry(const AsideEntry&) = delete;
  AsideEntry& operator=(const AsideEntry&) = delete;

  const std::string& path() const { return path_; }
  // Renames to the target and syncs the parent folder.
  void publish(const std::string& label);

 private:
  bool create(const std::string& path);

  std::string target_;
  Kind kind_;
  std::string path_;
  int lock_ = -1;
  bool published_ = false;
};

// Crash points: those of FileWriter, then LABEL.before_rename, after_rename, after_publish.
class AtomicFile {
 public:
  explicit AtomicFile(const std::string& path, const std::string& label = "file");

  void write(std::span<const std::byte> data) { writer_.write(data); }
  void write(std::string_view text) { writer_.write(text); }
  void commit();

  int64_t bytes() const { return writer_.bytes(); }
  uint64_t checksum() const { return writer_.checksum(); }

 private:
  AsideEntry aside_;
  FileWriter writer_;
  std::string label_;
};

void write_file(const std::string& path, std::string_view content,
                const std::string& label = "file");

// A folder that is filled under path() and then published. Replaces a folder that is there, which
// stays whole until then. commit() syncs every file below.
class AtomicDirectory {
 public:
  explicit AtomicDirectory(const std::string& path, const std::string& label = "folder");

  const std::string& path() const { return aside_.path(); }  // where to write meanwhile
  std::string path(std::string_view name) const;             // of a file in it
  void commit();

 private:
  AsideEntry aside_;
  std::string label_;
};

// Removes what dead writers left in a folder. Each writer does so where it writes.
void remove_leftovers(const std::string& folder);

}  // namespace ashlar
