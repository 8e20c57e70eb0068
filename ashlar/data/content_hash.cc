#include "ashlar/data/content_hash.h"

#include "ashlar/base/atomic_file.h"
#include "ashlar/base/checksum.h"
#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/base/json.h"
#include "ashlar/base/log.h"
#include "ashlar/base/mapped_file.h"

#include <nlohmann/json.hpp>

#include <sys/stat.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

namespace ashlar::data {
namespace {

constexpr int64_t kNsPerSecond = 1000000000;
// A file changed this recently may change again without its time showing it.
constexpr int64_t kUnsettledNs = 2 * kNsPerSecond;
constexpr size_t kChunk = 16 << 20;

int64_t in_ns(const timespec& time) { return time.tv_sec * kNsPerSecond + time.tv_nsec; }

uint64_t hash_of(const std::string& path, size_t bytes) {
  const MappedFile file(path);
  ASHLAR_CHECK(file.bytes().size() >= bytes, "data {}: the file shrank while it was read", path);
  Xxh64 hash;
  for (size_t at = 0; at < bytes; at += kChunk) {
    const size_t size = std::min(kChunk, bytes - at);
    hash.update(file.bytes().subspan(at, size));
    file.release(at, size);
  }
  return hash.digest();
}

}  // namespace

ContentHashes::ContentHashes(std::string memory_path) : memory_path_(std::move(memory_path)) {
  if (!is_file(memory_path_)) return;
  try {
    const nlohmann::json memory = read_json<nlohmann::json>(memory_path_);
    for (const auto& [path, entry] : memory.items()) {
      entries_[path] = {entry.at(0), entry.at(1), entry.at(2), entry.at(3), entry.at(4)};
    }
  } catch (const std::exception& error) {  // whatever is wrong with it, it is only a memory
    log::debug("event=forget_hashes file={} reason=\"{}\"", memory_path_, error.what());
    entries_.clear();
  }
}

uint64_t ContentHashes::of(const std::string& path, int64_t bytes) {
  struct stat info {};
  ASHLAR_CHECK(::stat(path.c_str(), &info) == 0, "data {}: {}", path, std::strerror(errno));
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  const int64_t changed = std::max(in_ns(info.st_mtim), in_ns(info.st_ctim));
  Entry entry{bytes, info.st_size, static_cast<int64_t>(info.st_ino), changed, 0};
  const std::string key = std::filesystem::absolute(path).lexically_normal().string();
  if (const auto known = entries_.find(key); known != entries_.end()) {
    const Entry& old = known->second;
    if (old.bytes == entry.bytes && old.size == entry.size && old.inode == entry.inode &&
        old.changed_ns == entry.changed_ns) {
      return old.hash;
    }
  }
  entry.hash = hash_of(path, static_cast<size_t>(bytes));
  if (in_ns(now) - changed > kUnsettledNs) {
    entries_[key] = entry;
    altered_ = true;
  }
  return entry.hash;
}

void ContentHashes::save() {
  if (!altered_) return;
  std::erase_if(entries_, [](const auto& entry) { return !is_file(entry.first); });
  nlohmann::json memory = nlohmann::json::object();
  for (const auto& [path, e] : entries_) {
    memory[path] = {e.bytes, e.size, e.inode, e.changed_ns, e.hash};
  }
  try {
    write_file(memory_path_, memory.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace),
               "data.hashes");
    altered_ = false;
  } catch (const Error& error) {
    log::debug("event=hashes_not_kept reason=\"{}\"", error.what());
  }
}

}  // namespace ashlar::data
