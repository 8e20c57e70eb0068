#include "ashlar/formats/manifest.h"

#include "ashlar/base/atomic_file.h"
#include "ashlar/base/checksum.h"
#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/base/json.h"
#include "ashlar/base/mapped_file.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>

namespace ashlar::formats {
namespace {

constexpr int kVersion = 1;

std::string hex(uint64_t checksum) { return fmt::format("{:016x}", checksum); }

bool inside_folder(const std::string& name) {
  if (name.empty() || name.starts_with('/') || name.find('\0') != std::string::npos) return false;
  const std::string framed = "/" + name + "/";
  return framed.find("/../") == std::string::npos;
}

uint64_t parse_hex(const std::string& text, const std::string& path) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  ASHLAR_CHECK(error == std::errc() && end == text.data() + text.size() && text.size() == 16,
               "manifest {}: '{}' is not a checksum of 16 hex digits", path, text);
  return value;
}

}  // namespace

FileRecord record_file(const std::string& folder, const std::string& name) {
  const MappedFile file(join_path(folder, name));
  return {name, static_cast<int64_t>(file.bytes().size()), xxh64(file.bytes())};
}

Manifest::Manifest(std::vector<FileRecord> files) {
  for (FileRecord& record : files) add(std::move(record));
}

void Manifest::add(FileRecord record) {
  ASHLAR_CHECK(inside_folder(record.name), "manifest: '{}' is not a name inside the folder",
               record.name);
  const auto at = std::ranges::lower_bound(files_, record.name, {}, &FileRecord::name);
  if (at != files_.end() && at->name == record.name) {
    *at = std::move(record);
  } else {
    files_.insert(at, std::move(record));
  }
}

uint64_t Manifest::digest() const {
  std::string text;
  for (const FileRecord& record : files_) {
    text += fmt::format("{} {} {}\n", hex(record.checksum), record.bytes, record.name);
  }
  return xxh64(text);
}

void Manifest::write(const std::string& folder, const std::string& label) const {
  nlohmann::ordered_json json;
  json["version"] = kVersion;
  json["files"] = nlohmann::ordered_json::array();
  for (const FileRecord& record : files_) {
    json["files"].push_back(
        {{"name", record.name}, {"bytes", record.bytes}, {"xxh64", hex(record.checksum)}});
  }
  json["xxh64"] = hex(digest());
  write_file(join_path(folder, kManifestName), json.dump(1) + "\n", label);
}

bool Manifest::exists(const std::string& folder) {
  return is_file(join_path(folder, kManifestName));
}

Manifest Manifest::read(const std::string& folder) {
  const std::string path = join_path(folder, kManifestName);
  const nlohmann::json json = read_json<nlohmann::json>(path);
  Manifest manifest;
  uint64_t digest = 0;
  try {
    const int version = json.at("version");
    ASHLAR_CHECK(version == kVersion, "manifest {}: version {}, only {} is known", path, version,
                 kVersion);
    for (const auto& file : json.at("files")) {
      manifest.add({file.at("name"), file.at("bytes"), parse_hex(file.at("xxh64"), path)});
    }
    digest = parse_hex(json.at("xxh64"), path);
  } catch (const nlohmann::json::exception& error) {
    fail("manifest {}: a field is missing or of a wrong type", path);
  }
  ASHLAR_CHECK(digest == manifest.digest(),
               "manifest {}: altered: its records do not match its "
               "own checksum",
               path);
  return manifest;
}

void Manifest::verify(const std::string& folder, Depth depth) const {
  for (const FileRecord& record : files_) {
    const std::string path = join_path(folder, record.name);
    ASHLAR_CHECK(is_file(path), "{}: missing; {} lists it", path, kManifestName);
    const int64_t bytes = file_size(path);
    ASHLAR_CHECK(bytes == record.bytes, "{}: torn: {} bytes, but {} says {}", path, bytes,
                 kManifestName, record.bytes);
    if (depth == Depth::kSizes) continue;
    const uint64_t checksum = record_file(folder, record.name).checksum;
    ASHLAR_CHECK(checksum == record.checksum, "{}: altered: its XXH64 is {}, but {} says {}", path,
                 hex(checksum), kManifestName, hex(record.checksum));
  }
}

}  // namespace ashlar::formats
