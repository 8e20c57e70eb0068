#include "ashlar/cli/machine_facts.h"

#include "ashlar/base/cpu.h"
#include "ashlar/base/env.h"
#include "ashlar/base/file.h"
#include "ashlar/base/human.h"

#include <fmt/format.h>

#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <charconv>
#include <exception>
#include <sstream>
#include <string_view>

namespace ashlar::cli {
namespace {

// Empty where the system does not have it.
std::string text_of(const std::string& path) {
  try {
    return is_file(path) ? read_file(path, 1 << 20) : "";
  } catch (const std::exception&) {
    return "";
  }
}

int64_t number_of(std::string_view text) {
  int64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

// Bytes of "MemTotal:  24568 kB".
int64_t meminfo(const std::string& text, std::string_view key) {
  std::istringstream lines(text);
  std::string name;
  int64_t kilobytes = 0;
  while (lines >> name >> kilobytes) {
    if (name == key) return kilobytes * 1024;
    std::getline(lines, name);
  }
  return 0;
}

// "madvise" of "always [madvise] never".
std::string chosen(const std::string& text) {
  const size_t begin = text.find('['), end = text.find(']');
  return begin == std::string::npos || end == std::string::npos
             ? ""
             : text.substr(begin + 1, end - begin - 1);
}

std::string find_in_path(const std::string& program) {
  std::istringstream folders(env("PATH").value_or(""));
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::string path = join_path(folder, program);
    if (::access(path.c_str(), X_OK) == 0) return path;
  }
  return "";
}

}  // namespace

MachineFacts machine_facts(const std::string& folder) {
  MachineFacts facts;
  const CpuInfo cpu = cpu_info();
  facts.cpu = cpu.model;
  facts.features = cpu.features;
  facts.best_tier = name(best_isa_tier());
  facts.cores = cpu.logical_cores;

  const std::string memory = text_of("/proc/meminfo");
  facts.memory_bytes = meminfo(memory, "MemTotal:");
  facts.memory_available_bytes = meminfo(memory, "MemAvailable:");
  facts.memory_limit_bytes = number_of(text_of("/sys/fs/cgroup/memory.max"));  // "max": 0
  facts.transparent_huge_pages = chosen(text_of("/sys/kernel/mm/transparent_hugepage/enabled"));
  facts.reserved_huge_pages =
      number_of(text_of("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"));

  struct statvfs disk = {};
  if (::statvfs(folder.c_str(), &disk) == 0) {
    facts.disk_free_bytes = static_cast<int64_t>(disk.f_bavail * disk.f_frsize);
  }
  facts.mpirun = find_in_path("mpirun");
  struct utsname system = {};
  if (::uname(&system) == 0) facts.kernel = fmt::format("{} {}", system.sysname, system.release);
  return facts;
}

}  // namespace ashlar::cli
