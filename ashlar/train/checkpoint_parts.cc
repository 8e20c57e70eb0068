#include "ashlar/train/checkpoint_parts.h"

#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/base/file_aside.h"
#include "ashlar/base/file_writer.h"

namespace ashlar::train {
namespace {

std::string parts_folder(const std::string& folder) { return join_path(folder, "parts"); }

std::string part_folder(const std::string& folder, int rank) {
  return join_path(parts_folder(folder), std::to_string(rank));
}

std::string note_path(const std::string& folder, int rank) {
  return join_path(parts_folder(folder), fmt::format("{}.failed", rank));
}

void check_no_note(const std::string& folder, int rank) {
  const std::string path = note_path(folder, rank);
  if (!is_file(path)) return;
  const std::string reason = read_file(path);
  fail("checkpoint {}: rank {} could not write its part: {}", published_path(folder), rank,
       reason.empty() ? "its log says why" : reason);
}

}  // namespace

void publish_part(const std::string& folder, int rank, std::vector<formats::FileRecord> files) {
  const std::string part = part_folder(folder, rank);
  make_directories(part);
  formats::Manifest(std::move(files)).write(part, "checkpoint.part");
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
