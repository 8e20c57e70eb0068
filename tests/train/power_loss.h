// What a machine that loses power does to files, for tests: a child notes its writes, syncs and
// renames below a folder; after it died, lose_power() takes back all that was not synced. Writes
// since a file's last fsync are cut off; renames since the last fsync of the folder are undone.
#pragma once

#include <string>

namespace ashlar::train::testing {

// In the child, from now on. The journal lies on the same file system, outside the folder.
void note_writes(const std::string& folder, const std::string& journal);

// Returns how many files and renames lost something.
int lose_power(const std::string& folder, const std::string& journal);

}  // namespace ashlar::train::testing
