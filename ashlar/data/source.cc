#include "ashlar/data/source.h"

#include "ashlar/base/error.h"
#include "ashlar/base/file.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

namespace ashlar::data {
namespace fs = std::filesystem;
namespace {

std::string extension_of(const std::string& path) {
  std::string extension = fs::path(path).extension().string();
  if (!extension.empty()) extension.erase(0, 1);
  std::ranges::transform(extension, extension.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c; });
  return extension;
}

FileKind kind_of(const std::string& path) {
  constexpr std::pair<std::string_view, std::string_view> kRefused[] = {
      {"json", "a JSON document is not read; write one object a line and name it .jsonl"},
      {"parquet", "Parquet is not read; export its text as .jsonl"},
      {"arrow", "Arrow is not read; export its text as .jsonl"},
      {"idx", "Megatron indices are not read; give the text"},
      {"gz", "compressed files are not read; unpack it first"},
      {"bz2", "compressed files are not read; unpack it first"},
      {"xz", "compressed files are not read; unpack it first"},
      {"zst", "compressed files are not read; unpack it first"},
      {"zip", "archives are not read; unpack it first"},
      {"tar", "archives are not read; unpack it first"},
  };
  const std::string extension = extension_of(path);
  for (const auto& [refused, hint] : kRefused) {
    if (extension == refused) fail_usage("data {}: {}", path, hint);
  }
  if (extension == "jsonl" || extension == "ndjson") return FileKind::kJsonLines;
  if (extension == "tok" || extension == "bin") return FileKind::kTokens;
  return FileKind::kText;
}

std::optional<double> parse_weight(std::string_view text) {
  double weight = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, weight);
  if (error != std::errc() || stop != end) return std::nullopt;
  return weight;
}

class Lister {
 public:
  Lister(const Source& source, const SourceOptions& options) : source_(source), options_(options) {}

  std::vector<SourceFile> list() {
    std::error_code error;
    const fs::file_status status = fs::status(source_.path, error);
    if (fs::is_directory(status)) {
      walk(source_.path);
      ASHLAR_CHECK(!paths_.empty(), "data {}: the folder has no {} files{}", source_.path,
                   fmt::format(".{}", fmt::join(options_.extensions, ", .")), others());
      std::ranges::sort(paths_);
    } else {
      ASHLAR_CHECK(fs::exists(status), "data {}: no such file or folder{}", source_.path,
                   source_.weight > 0 ? "" : weight_hint());
      ASHLAR_CHECK(fs::is_regular_file(status), "data {}: neither a file nor a folder",
                   source_.path);
      paths_.push_back(source_.path);
    }
    return take();
  }

 private:
  void walk(const fs::path& folder) {
    std::error_code error;
    fs::directory_iterator entries(folder, error);
    for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
      const fs::directory_entry& entry = *entries;
      if (entry.path().filename().string().starts_with('.')) continue;
      std::error_code gone;  // a link to nowhere is no file
      if (entry.is_symlink(gone)) {
        if (options_.follow_links && entry.is_regular_file(gone)) add(entry.path().string());
      } else if (entry.is_directory(gone)) {
        walk(entry.path());
      } else if (entry.is_regular_file(gone)) {
        add(entry.path().string());
      }
    }
    ASHLAR_CHECK(!error, "data {}: cannot list the folder: {}", folder.string(), error.message());
  }

  void add(const std::string& path) {
    const std::string extension = extension_of(path);
    if (std::ranges::find(options_.extensions, extension) != options_.extensions.end()) {
      paths_.push_back(path);
    } else {
      ++other_extensions_[extension];
    }
  }

  // What the folder holds instead, the most frequent first.
  std::string others() const {
    std::vector<std::pair<int64_t, std::string>> counts;
    for (const auto& [extension, count] : other_extensions_) {
      if (!extension.empty()) counts.emplace_back(-count, extension);
    }
    if (counts.empty()) return "";
    std::ranges::sort(counts);
    counts.resize(std::min<size_t>(counts.size(), 3));
    std::string text = "; set data.extensions to what it has:";
    for (const auto& [count, extension] : counts)
      text += fmt::format(" .{} ({})", extension, -count);
    return text;
  }

  std::string weight_hint() const {
    const size_t colon = source_.path.rfind(':');
    if (colon == std::string::npos || !fs::exists(source_.path.substr(0, colon))) return "";
    return fmt::format("; if \"{}\" is its weight, it must be a positive number",
                       source_.path.substr(colon + 1));
  }

  std::vector<SourceFile> take() const {
    std::vector<SourceFile> files;
    int64_t total = 0;
    for (const std::string& path : paths_) {
      SourceFile file{path, kind_of(path), file_size(path)};
      if (options_.max_bytes > 0) {
        if (total == options_.max_bytes) break;
        file.bytes = std::min(file.bytes, options_.max_bytes - total);
      }
      total += file.bytes;
      if (file.bytes > 0) files.push_back(std::move(file));
    }
    ASHLAR_CHECK(!files.empty(), "data {}: {}", source_.path,
                 paths_.size() == 1 ? "the file is empty" : "all its files are empty");
    return files;
  }

  const Source& source_;
  const SourceOptions& options_;
  std::vector<std::string> paths_;
  std::map<std::string, int64_t> other_extensions_;
};

}  // namespace

Source Source::parse(const std::string& spec) {
  if (spec.empty()) fail_usage("data: an empty path");
  std::error_code error;
  const size_t colon = spec.rfind(':');
  if (fs::exists(spec, error) || colon == std::string::npos || colon == 0) return {spec, 0};
  const std::optional<double> weight = parse_weight(std::string_view(spec).substr(colon + 1));
  if (!weight) return {spec, 0};
  if (!(*weight > 0) || !std::isfinite(*weight)) {
    fail_usage("data {}: the weight {} is not positive", spec, *weight);
  }
  return {spec.substr(0, colon), *weight};
}

std::vector<SourceFile> list_files(const Source& source, const SourceOptions& options) {
  return Lister(source, options).list();
}

SourceOptions header_options(int64_t max_bytes) {
  return {.extensions = {"h", "hh", "hpp", "hxx", "ipp", "tcc"},
          .follow_links = false,
          .max_bytes = max_bytes};
}

}  // namespace ashlar::data
