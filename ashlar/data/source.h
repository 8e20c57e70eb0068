// Where training text comes from. A source is a file or a folder, written as `path` or
// `path:weight`; its files are listed in bytewise order of their paths, so that every machine sees
// the same corpus. What cannot be read as text, JSON lines or tokens is refused with a hint.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ashlar::data {

struct Source {
  std::string path;
  double weight = 0;  // 0: none was given

  // A name that exists as it stands is a path, whatever colons it has.
  static Source parse(const std::string& spec);
};

enum class FileKind : uint8_t {
  kText,       // one document
  kJsonLines,  // a document a line
  kTokens,     // tokens already: .tok, .bin
};

struct SourceFile {
  std::string path;
  FileKind kind = FileKind::kText;
  int64_t bytes = 0;  // to read: its size, or less where a limit cuts it
};

struct SourceOptions {
  // Of the files to take from folders, without the dot. Files named directly are always taken.
  std::vector<std::string> extensions = {"txt", "md", "jsonl", "ndjson"};
  // Follow links to files. Links to folders never are, so no loop is possible.
  bool follow_links = true;
  // Take files in order until this many bytes (0: all); the last one is cut after a line.
  int64_t max_bytes = 0;
};

// Throws where there is nothing to read: no such path, no such files, all of them empty.
std::vector<SourceFile> list_files(const Source& source, const SourceOptions& options);

// The C and C++ headers of this machine, a corpus that every development machine has.
inline constexpr const char* kSystemHeaders = "/usr/include";
SourceOptions header_options(int64_t max_bytes);

}  // namespace ashlar::data
