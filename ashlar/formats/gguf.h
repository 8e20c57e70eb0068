// Reads GGUF: the format of llama.cpp, one file with metadata, tokenizer and tensors, or several of
// which the first has the metadata (NAME-00001-of-00003.gguf). Files are mapped; their heads are
// checked fully at once. Errors name file, key or tensor.
#pragma once

#include "ashlar/base/mapped_file.h"
#include "ashlar/formats/gguf_header.h"
#include "ashlar/formats/tensor_file.h"

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace ashlar::formats {

class GgufReader : public TensorFile {
 public:
  // Of several files the first; the others lie beside it.
  explicit GgufReader(const std::string& path);

  const std::string& path() const { return parts_.front().file->path(); }
  const GgufMetadata& metadata() const { return parts_.front().header.metadata; }
  uint32_t version() const { return parts_.front().header.version; }

  const std::vector<std::string>& names() const override { return names_; }
  bool contains(const std::string& name) const override { return places_.contains(name); }
  const GgufTensor& entry(const std::string& name) const override;
  Tensor tensor(const std::string& name) const override;
  void will_need(const std::string& name) const override;
  void release(const std::string& name) const override;
  std::vector<std::string> files() const override;
  int64_t data_bytes() const override { return data_bytes_; }

 private:
  struct Part {
    std::shared_ptr<const MappedFile> file;
    GgufHeader header;
  };
  struct Place {
    size_t part, tensor;
  };

  void add_part(const std::string& path);
  const Place& place(const std::string& name) const;
  // The first byte of a tensor in its file.
  size_t begin(const Place& place) const;

  std::vector<Part> parts_;
  std::vector<std::string> names_;
  std::unordered_map<std::string, Place> places_;
  int64_t data_bytes_ = 0;
};

}  // namespace ashlar::formats
