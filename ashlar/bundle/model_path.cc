#include "ashlar/bundle/model_path.h"

#include "ashlar/base/env.h"
#include "ashlar/base/error.h"
#include "ashlar/base/file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <optional>
#include <string_view>
#include <vector>

namespace ashlar::bundle {
namespace {

std::optional<std::string> cache_folder() {
  if (const auto hub = env("HF_HUB_CACHE")) return hub;
  if (const auto home = env("HF_HOME")) return join_path(*home, "hub");
  if (const auto cache = env("XDG_CACHE_HOME")) return join_path(*cache, "huggingface/hub");
  if (const auto home = env("HOME")) return join_path(*home, ".cache/huggingface/hub");
  return std::nullopt;
}

struct CachedModel {
  std::string folder, revision;
};

// Where the cache has a model of that name, if it has.
std::optional<CachedModel> cached_model(std::string name) {
  std::string revision = "main";
  if (const size_t at = name.find('@'); at != std::string::npos) {
    revision = name.substr(at + 1);
    name.resize(at);
  }
  // Models of old have no organisation: "gpt2".
  if (name.empty() || std::ranges::count(name, '/') > 1 || name.starts_with('/') ||
      name.ends_with('/') || name.find("..") != std::string::npos ||
      revision.find("..") != std::string::npos) {
    return std::nullopt;
  }
  const auto cache = cache_folder();
  if (!cache) return std::nullopt;
  if (const size_t slash = name.find('/'); slash != std::string::npos) name.replace(slash, 1, "--");
  return CachedModel{join_path(*cache, "models--" + name), revision};
}

std::optional<std::string> find_snapshot(const std::string& name) {
  const std::optional<CachedModel> model = cached_model(name);
  if (!model) return std::nullopt;
  const auto& [folder, revision] = *model;
  std::string commit = revision;
  if (const std::string ref = join_path(folder, "refs/" + revision); is_file(ref)) {
    commit = read_file(ref, 4096);
    commit.erase(std::ranges::find_if(commit, [](unsigned char c) { return std::isspace(c); }),
                 commit.end());
  }
  const std::string snapshot = join_path(folder, "snapshots/" + commit);
  if (commit.empty() || !is_directory(snapshot)) return std::nullopt;
  return snapshot;
}

// A folder of GGUF files: the one that there is.
std::string file_of(const std::string& folder) {
  if (!is_directory(folder) || is_file(join_path(folder, "config.json"))) return folder;
  std::vector<std::string> files;
  for (const std::string& name : list_directory(folder)) {
    if (name.ends_with(".gguf")) files.push_back(name);
  }
  if (files.empty()) return folder;
  ASHLAR_CHECK(files.size() == 1, "model {}: holds {} GGUF files; name one of them, as in {}",
               folder, files.size(), join_path(folder, files.front()));
  return join_path(folder, files.front());
}

}  // namespace

std::string find_model(const std::string& path) {
  if (!is_file(path) && !is_directory(path)) {
    if (const auto snapshot = find_snapshot(path)) return file_of(*snapshot);
  }
  return file_of(path);
}

std::string why_not_cached(const std::string& name) {
  const std::optional<CachedModel> model = cached_model(name);
  if (model && is_directory(model->folder)) {
    return fmt::format("the Hugging Face cache has no snapshot of revision '{}' in {}",
                       model->revision, model->folder);
  }
  return fmt::format("no such model in the Hugging Face cache, {}",
                     cache_folder().value_or("which is nowhere: HF_HOME and HOME are not set"));
}

std::string beside_model(const std::string& path, std::string_view name) {
  return join_path(is_directory(path) ? path : parent_path(path), name);
}

}  // namespace ashlar::bundle
