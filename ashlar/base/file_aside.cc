#include "ashlar/base/file_aside.h"

#include "ashlar/base/file.h"

#include <fmt/format.h>

#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <filesystem>

namespace ashlar {
namespace {

constexpr std::string_view kMark = ".tmp-";

}  // namespace

std::string aside_path(const std::string& target) {
  static std::atomic<int64_t> count{0};
  return join_path(parent_path(target), fmt::format(".{}{}{}-{}", file_name(target), kMark,
                                                    ::getpid(), count.fetch_add(1)));
}

bool is_aside_name(std::string_view name) {
  const size_t mark = name.rfind(kMark);
  if (!name.starts_with('.') || mark == std::string_view::npos || mark < 2) return false;
  const std::string_view ids = name.substr(mark + kMark.size());
  const size_t dash = ids.find('-');
  return dash != std::string_view::npos && dash > 0 && dash + 1 < ids.size() &&
         ids.find_first_not_of("0123456789", dash + 1) == std::string_view::npos &&
         ids.find_first_not_of("0123456789") == dash;
}

std::string published_path(const std::string& path) {
  std::filesystem::path shown;
  for (const auto& part : std::filesystem::path(path)) {
    const std::string name = part.string();
    shown /= is_aside_name(name) ? name.substr(1, name.rfind(kMark) - 1) : name;
  }
  return shown.string();
}

}  // namespace ashlar
