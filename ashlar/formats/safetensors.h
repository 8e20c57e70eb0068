// Reads safetensors: one file, or a model of several shards with model.safetensors.index.json.
// Files are mapped and nothing is copied until it is touched; headers are checked fully at once.
// Errors name file, tensor, what was found and what was wanted.
#pragma once

#include "ashlar/base/mapped_file.h"
#include "ashlar/formats/safetensors_header.h"
#include "ashlar/tensor/tensor.h"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace ashlar::formats {

class SafetensorsReader {
 public:
  // A .safetensors file, an index, or a folder that holds model.safetensors or its index.
  explicit SafetensorsReader(const std::string& path);

  const std::vector<std::string>& names() const { return names_; }  // in the order of the data
  bool contains(const std::string& name) const { return places_.contains(name); }
  const TensorEntry& entry(const std::string& name) const;  // throws, naming the nearest name

  // A read-only view that keeps the mapping alive, also beyond this reader. Data that is not
  // aligned for its type (other writers may leave it so) is copied.
  Tensor tensor(const std::string& name) const;
  std::optional<Tensor> find(const std::string& name) const;

  // What the pages of a tensor will be wanted for, and no longer are.
  void will_need(const std::string& name) const;
  void release(const std::string& name) const;

  // Of all shards; an earlier shard wins.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  std::vector<std::string> files() const;
  int64_t data_bytes() const { return data_bytes_; }

 private:
  struct Shard {
    std::shared_ptr<const MappedFile> file;
    SafetensorsHeader header;
  };
  struct Place {
    size_t shard, entry;
  };

  void open_index(const std::string& path);
  void add_shard(const std::string& path);
  void add_names(size_t shard, const std::map<std::string, std::string>* wanted);
  const Place& place(const std::string& name) const;
  size_t offset(const Place& place) const;

  std::string path_;
  std::vector<Shard> shards_;
  std::vector<std::string> names_;
  std::unordered_map<std::string, Place> places_;
  std::map<std::string, std::string> metadata_;
  int64_t data_bytes_ = 0;
};

}  // namespace ashlar::formats
