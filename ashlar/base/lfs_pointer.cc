#include "ashlar/base/lfs_pointer.h"

#include "ashlar/base/error.h"

namespace ashlar {

void check_no_lfs_pointer(std::string_view content, const std::string& path) {
  ASHLAR_CHECK(!content.starts_with("version https://git-lfs.github.com/spec/"),
               "{} is a Git LFS pointer, not the file itself; fetch it with `git lfs pull` in the "
               "folder it was cloned to",
               path);
}

}  // namespace ashlar
