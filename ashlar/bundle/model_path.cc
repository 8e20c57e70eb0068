#include "ashlar/bundle/model_path.h"

#include "ashlar/base/edit_distance.h"
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

// "~/models" as the shell would have it.
std::string without_tilde(const std::string& path) {
  const auto home = env("HOME");
  if (!home || (path != "~" && !path.starts_with("~/"))) return path;
  return *home + path.substr(1);
}

std::optional<std::string> cache_folder() {
  for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}) {
    if (const auto hub = env(name)) return without_tilde(*hub);
  }
  if (const auto home = env("HF_HOME")) return join_path(without_tilde(*home), "hub");
  if (const auto cache = env("XDG_CACHE_HOME")) {
    return join_path(without_tilde(*cache), "huggingface/hub");
  }
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

// ORG/NAME of all that the cache has.
std::vector<std::string> cached_names(const std::string& cache) {
  constexpr std::string_view kModels = "models--";
  std::vector<std::string> names;
  if (!is_directory(cache)) return names;
  for (const std::string& folder : list_directory(cache)) {
    if (!folder.starts_with(kModels)) continue;
    std::string name = folder.substr(kModels.size());
    if (const size_t dashes = name.find("--"); dashes != std::string::npos) {
      name.replace(dashes, 2, "/");
    }
    names.push_back(std::move(name));
  }
  return names;
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

std::string model_name(const std::string& path) {
  const std::string snapshots = parent_path(path);
  if (file_name(snapshots) != "snapshots") return file_name(path);
  const std::string folder = file_name(parent_path(snapshots));  // "models--ORG--NAME"
  return folder.substr(folder.rfind("--") == std::string::npos ? 0 : folder.rfind("--") + 2);
}

std::string why_not_cached(const std::string& name) {
  ASHLAR_CHECK(name.find("://") == std::string::npos && !name.starts_with("hf.co/"),
               "model {}: is an address; nothing is downloaded: fetch it (`hf download ORG/NAME`), "
               "then name ORG/NAME or its folder",
               name);
  const std::optional<CachedModel> model = cached_model(name);
  if (model && is_directory(model->folder)) {
    return fmt::format("the Hugging Face cache has no snapshot of revision '{}' in {}",
                       model->revision, model->folder);
  }
  const auto cache = cache_folder();
  if (!cache) return "no Hugging Face cache: HF_HOME and HOME are not set";
  const auto near = nearest(name, cached_names(*cache));
  return fmt::format("no such model in the Hugging Face cache, {}{}", *cache,
                     near ? fmt::format("; the nearest name there is {}", *near) : "");
}

std::string beside_model(const std::string& path, std::string_view name) {
  return join_path(is_directory(path) ? path : parent_path(path), name);
}

}  // namespace ashlar::bundle
