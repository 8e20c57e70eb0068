// How the writers of several ranks make one checkpoint without talking, through the folder aside
// that they share: each writes its files, then a manifest of them in parts/RANK; rank 0 waits for
// all of these. A rank that cannot write leaves a note instead; one that died while it wrote is
// known by its lock, which the system has released.
#pragma once

#include "ashlar/formats/manifest.h"

#include <functional>
#include <string>
#include <vector>

namespace ashlar::train {

// Held by a rank's writer while it writes its part: what tells one that is slow from one that died.
class PartLock {
 public:
  PartLock(const std::string& folder, int rank);
  ~PartLock();
  PartLock(const PartLock&) = delete;
  PartLock& operator=(const PartLock&) = delete;

 private:
  int fd_ = -1;
};

// folder: the one aside. The rank's files are on disk, complete.
void publish_part(const std::string& folder, int rank, std::vector<formats::FileRecord> files);
// Never throws: there may be no room for a note either.
void note_failure(const std::string& folder, int rank, const std::string& reason) noexcept;

// The records of ranks 1 to ranks - 1, their files found with their sizes; parts/ is then gone.
// `pause` sleeps a moment and says whether to wait on; else, throws Error naming the rank whose
// part is missing; at once, the one that left a note or died.
std::vector<formats::FileRecord> await_parts(const std::string& folder, int ranks,
                                             const std::function<bool()>& pause);

}  // namespace ashlar::train
