// Reads GGUF: the format of llama.cpp, one file with metadata, tokenizer and tensors. The file is
// mapped; its head is checked fully at once. Errors name file, key or tensor.
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
  explicit GgufReader(const std::string& path);

  const std::string& path() const { return file_->path(); }
  const GgufMetadata& metadata() const { return header_.metadata; }
  const GgufHeader& header() const { return header_; }

  const std::vector<std::string>& names() const override { return names_; }
  bool contains(const std::string& name) const override { return places_.contains(name); }
  const GgufTensor& entry(const std::string& name) const override;
  Tensor tensor(const std::string& name) const override;
  void will_need(const std::string& name) const override;
  void release(const std::string& name) const override;
  std::vector<std::string> files() const override { return {path()}; }
  int64_t data_bytes() const override { return data_bytes_; }

 private:
  size_t begin(const GgufTensor& tensor) const {
    return static_cast<size_t>(header_.data_begin + tensor.offset);
  }

  std::shared_ptr<const MappedFile> file_;
  GgufHeader header_;
  std::vector<std::string> names_;
  std::unordered_map<std::string, size_t> places_;
  int64_t data_bytes_ = 0;
};

}  // namespace ashlar::formats
