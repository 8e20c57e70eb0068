// What a folder of files holds: name, size and XXH64 of each, in MANIFEST.json, which is written
// last. verify() finds the file that is torn, altered or gone; further files do not matter.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ashlar::formats {

struct FileRecord {
  std::string name;  // relative to the folder
  int64_t bytes = 0;
  uint64_t checksum = 0;
  bool operator==(const FileRecord&) const = default;
};

constexpr std::string_view kManifestName = "MANIFEST.json";

// Reads the file once.
FileRecord record_file(const std::string& folder, const std::string& name);

class Manifest {
 public:
  Manifest() = default;
  explicit Manifest(std::vector<FileRecord> files);  // kept sorted by name

  // Throws for a manifest that is missing, torn, altered, or names files outside the folder.
  static Manifest read(const std::string& folder);
  static bool exists(const std::string& folder);

  void add(FileRecord record);  // replaces a record of that name
  void write(const std::string& folder, const std::string& label = "manifest") const;

  enum class Depth { kSizes, kContent };
  // Throws Error naming the first file that differs.
  void verify(const std::string& folder, Depth depth = Depth::kContent) const;

  const std::vector<FileRecord>& files() const { return files_; }

 private:
  uint64_t digest() const;  // of the records, which guards the manifest itself

  std::vector<FileRecord> files_;
};

}  // namespace ashlar::formats
