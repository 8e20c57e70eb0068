#include "ashlar/cli/free_memory.h"

#include "ashlar/base/file.h"

#include <algorithm>
#include <exception>
#include <limits>
#include <optional>
#include <sstream>
#include <string_view>

namespace ashlar::cli {
namespace {

constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();

// Empty where the system does not have it.
std::string text_of(const std::string& path) {
  try {
    return is_file(path) ? read_file(path, 1 << 20) : "";
  } catch (const std::exception&) {
    return "";
  }
}

// The number behind a word, as in "MemAvailable:  24568 kB".
std::optional<int64_t> number_after(const std::string& text, std::string_view word) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string name;
    int64_t number = 0;
    if (fields >> name >> number && name == word) return number;
  }
  return std::nullopt;
}

// A file of one number; "max" and what is not there are none.
std::optional<int64_t> number_in(const std::string& path) {
  std::istringstream text(text_of(path));
  int64_t number = 0;
  return text >> number ? std::optional(number) : std::nullopt;
}

// The files of a version of control groups.
struct GroupFiles {
  const char *folder, *limit, *used, *reclaimable;
};
constexpr GroupFiles kVersion2{"sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"};
constexpr GroupFiles kVersion1{"sys/fs/cgroup/memory", "memory.limit_in_bytes",
                               "memory.usage_in_bytes", "total_inactive_file"};

// What one group's limit leaves. Files that lie in the page cache count as used there, but go when
// their room is needed.
int64_t left_in(const std::string& group, const GroupFiles& files) {
  const auto limit = number_in(join_path(group, files.limit));
  if (!limit) return kNoLimit;
  const int64_t used =
      number_in(join_path(group, files.used)).value_or(0) -
      number_after(text_of(join_path(group, "memory.stat")), files.reclaimable).value_or(0);
  return std::max<int64_t>(0, *limit - std::max<int64_t>(0, used));
}

// Of the group at `path` and all above it.
int64_t left_up_from(const std::string& root, std::string path, const GroupFiles& files) {
  int64_t left = kNoLimit;
  while (true) {
    left = std::min(left, left_in(join_path(join_path(root, files.folder), path), files));
    if (path.empty()) return left;
    const size_t slash = path.rfind('/');
    path.erase(slash == std::string::npos ? 0 : slash);
  }
}

// This process's group, as /proc/self/cgroup has it in "0::/path" or "4:memory:/path".
std::string group_path(const std::string& groups, std::string_view controller) {
  std::istringstream lines(groups);
  for (std::string line; std::getline(lines, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    if (line.substr(first + 1, second - first - 1) == controller) return line.substr(second + 2);
  }
  return "";
}

}  // namespace

int64_t free_memory(const std::string& root) {
  const auto kilobytes = number_after(text_of(join_path(root, "proc/meminfo")), "MemAvailable:");
  const std::string groups = text_of(join_path(root, "proc/self/cgroup"));
  const int64_t left = std::min({kilobytes ? *kilobytes * 1024 : kNoLimit,
                                 left_up_from(root, group_path(groups, ""), kVersion2),
                                 left_up_from(root, group_path(groups, "memory"), kVersion1)});
  return left == kNoLimit ? 0 : left;
}

}  // namespace ashlar::cli
