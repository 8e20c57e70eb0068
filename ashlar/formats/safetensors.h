// Reads safetensors: one file, or a model of several shards with model.safetensors.index.json.
// Files are mapped and nothing is copied until it is touched; headers are checked fully at once.
// Errors name file, tensor, what was found and what was wanted.
#pragma once

#include "ashlar/base/mapped_file.h"
#include "ashlar/formats/safetensors_header.h"
#include "ashlar/formats/tensor_file.h"
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

class SafetensorsReader : public TensorFile {
 public:
  // A .safetensors file, an index, or a folder that holds model.safetensors or its index.
  explicit SafetensorsReader(const std::string& path);

  const std::vector<std::string>& names() const override { return names_; }
  bool contains(const std::string& name) const override { return places_.contains(name); }
  const TensorEntry& entry(const std::string& name) const override;
  Tensor tensor(const std::string& name) const override;
  std::optional<Tensor> find(const std::string& name) const;
  void will_need(const std::string& name) const override;
  void release(const std::string& name) const override;

  // Of all shards; an earlier shard wins.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  std::vector<std::string> files() const override;
  int64_t data_bytes() const override { return data_bytes_; }

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
