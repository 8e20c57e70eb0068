#include "ashlar/formats/safetensors.h"

#include "ashlar/base/edit_distance.h"
#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/base/json.h"
#include "ashlar/base/shown_text.h"

#include <nlohmann/json.hpp>

#include <cstring>
#include <set>
#include <utility>

namespace ashlar::formats {
namespace {

constexpr std::string_view kSingle = "model.safetensors";
constexpr std::string_view kIndex = "model.safetensors.index.json";

// What a folder has in the place of weights that are read, and what to do about it.
std::string other_weights(const std::string& folder) {
  for (const std::string& name : list_directory(folder)) {
    const bool torch = name.ends_with(".bin") || name.ends_with(".pt") || name.ends_with(".pth");
    if (torch && (name.starts_with("pytorch_model") || name.starts_with("consolidated"))) {
      return fmt::format(
          "; {} is not read, save it anew as safetensors (transformers: "
          "save_pretrained)",
          name);
    }
    if (!name.ends_with(".safetensors")) continue;
    if (name.starts_with("adapter_")) return "; an adapter alone: merge it into its model";
    if (!is_file(join_path(folder, name))) {
      return fmt::format("; {} is a link to nothing: fetch the model anew", name);
    }
    return fmt::format("; if {} is all of it, call it {}, else its index is missing", name,
                       kSingle);
  }
  return "";
}

std::string file_of_model(const std::string& path) {
  if (!is_directory(path)) return path;
  for (const std::string_view name : {kSingle, kIndex}) {
    std::string file = join_path(path, name);
    if (is_file(file)) return file;
  }
  fail("{}: holds neither {} nor {}{}", path, kSingle, kIndex, other_weights(path));
}

// Tensor name to shard, as the index has it.
std::map<std::string, std::string> read_weight_map(const std::string& path) {
  const nlohmann::json index = read_json<nlohmann::json>(path);
  const auto map = index.is_object() ? index.find("weight_map") : index.end();
  ASHLAR_CHECK(map != index.end() && map->is_object(), "{}: has no object weight_map", path);
  std::map<std::string, std::string> weights;
  for (const auto& [name, file] : map->items()) {
    ASHLAR_CHECK(file.is_string(), "{}: weight_map: the file of {} is not a string", path,
                 shown_text(name));
    const std::string& shard = file.get_ref<const std::string&>();
    // A shard lies beside its index and nowhere else.
    ASHLAR_CHECK(!shard.empty() && shard != "." && shard != ".." &&
                     shard.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos,
                 "{}: weight_map: the file of {} is {}, which is not the plain name of a file",
                 path, shown_text(name), shown_text(shard));
    weights[name] = shard;
  }
  return weights;
}

}  // namespace

SafetensorsReader::SafetensorsReader(const std::string& path) : path_(file_of_model(path)) {
  if (path_.ends_with(".json")) {
    open_index(path_);
  } else {
    add_shard(path_);
    add_names(0, nullptr);
  }
}

void SafetensorsReader::add_shard(const std::string& path) {
  auto file = std::make_shared<const MappedFile>(path);
  SafetensorsHeader header = parse_safetensors_header(file->bytes(), path);
  metadata_.insert(header.metadata.begin(), header.metadata.end());
  shards_.push_back({std::move(file), std::move(header)});
}

// wanted: which file each tensor should be in; null if there is only one file.
void SafetensorsReader::add_names(size_t shard, const std::map<std::string, std::string>* wanted) {
  const std::vector<TensorEntry>& tensors = shards_[shard].header.tensors;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const std::string& name = tensors[i].name;
    if (wanted != nullptr) {
      const auto listed = wanted->find(name);
      if (listed == wanted->end()) continue;  // an extra tensor that nobody asks for
      const std::string& found = shards_[shard].file->path();
      ASHLAR_CHECK(listed->second == file_name(found),
                   "{}: tensor {} is in {}, but the index says {}", path_, shown_text(name),
                   file_name(found), listed->second);
    }
    places_.emplace(name, Place{shard, i});
    names_.push_back(name);
    data_bytes_ += static_cast<int64_t>(tensors[i].end - tensors[i].begin);
  }
}

void SafetensorsReader::open_index(const std::string& path) {
  const std::map<std::string, std::string> weights = read_weight_map(path);
  std::set<std::string> files;
  for (const auto& [name, file] : weights) files.insert(file);
  for (const std::string& file : files) {
    const std::string shard = join_path(parent_path(path), file);
    ASHLAR_CHECK(is_file(shard), "{}: the shard {} is missing", path, shard);
    add_shard(shard);
    add_names(shards_.size() - 1, &weights);
  }
  for (const auto& [name, file] : weights) {
    ASHLAR_CHECK(places_.contains(name), "{}: the index puts tensor {} in {}, which lacks it", path,
                 shown_text(name), file);
  }
}

const SafetensorsReader::Place& SafetensorsReader::place(const std::string& name) const {
  const auto found = places_.find(name);
  if (found != places_.end()) return found->second;
  const auto near = nearest(name, names_);
  fail("{}: there is no tensor {}{}", path_, shown_text(name),
       near ? fmt::format("; the nearest name is {}", shown_text(*near)) : "");
}

size_t SafetensorsReader::offset(const Place& place) const {
  const SafetensorsHeader& header = shards_[place.shard].header;
  return static_cast<size_t>(header.data_begin + header.tensors[place.entry].begin);
}

const TensorEntry& SafetensorsReader::entry(const std::string& name) const {
  const Place& at = place(name);
  return shards_[at.shard].header.tensors[at.entry];
}

Tensor SafetensorsReader::tensor(const std::string& name) const {
  const Place& at = place(name);
  const TensorEntry& found = entry(name);
  const auto& file = shards_[at.shard].file;
  const std::byte* data = file->bytes().data() + offset(at);
  const auto bytes = static_cast<size_t>(found.end - found.begin);
  if (reinterpret_cast<uintptr_t>(data) % static_cast<uintptr_t>(size_of(found.dtype)) != 0) {
    Tensor copy(found.dtype, found.shape);
    std::memcpy(copy.data(), data, bytes);
    return copy;
  }
  return {found.dtype, found.shape, const_cast<std::byte*>(data), file};
}

std::optional<Tensor> SafetensorsReader::find(const std::string& name) const {
  if (!contains(name)) return std::nullopt;
  return tensor(name);
}

void SafetensorsReader::will_need(const std::string& name) const {
  const TensorEntry& found = entry(name);
  const Place& at = place(name);
  shards_[at.shard].file->will_need(offset(at), static_cast<size_t>(found.end - found.begin));
}

void SafetensorsReader::release(const std::string& name) const {
  const TensorEntry& found = entry(name);
  const Place& at = place(name);
  shards_[at.shard].file->release(offset(at), static_cast<size_t>(found.end - found.begin));
}

std::vector<std::string> SafetensorsReader::files() const {
  std::vector<std::string> paths;
  for (const Shard& shard : shards_) paths.push_back(shard.file->path());
  return paths;
}

}  // namespace ashlar::formats
