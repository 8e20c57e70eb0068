// Git LFS pointers: the few lines that lie where a large file should be until `git lfs pull`.
#pragma once

#include <string>
#include <string_view>

namespace ashlar {

// Throws Error where the content of the file at `path` is such a pointer.
void check_no_lfs_pointer(std::string_view content, const std::string& path);

}  // namespace ashlar
