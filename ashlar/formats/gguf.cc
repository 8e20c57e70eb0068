#include "ashlar/formats/gguf.h"

#include "ashlar/base/edit_distance.h"
#include "ashlar/base/error.h"
#include "ashlar/formats/safetensors_header.h"

#include <cstring>

namespace ashlar::formats {

GgufReader::GgufReader(const std::string& path)
    : file_(std::make_shared<const MappedFile>(path)),
      header_(parse_gguf_header(file_->bytes(), path)) {
  for (const GgufTensor& tensor : header_.tensors) {
    places_.emplace(tensor.name, names_.size());
    names_.push_back(tensor.name);
    data_bytes_ += static_cast<int64_t>(tensor.bytes);
  }
}

const GgufTensor& GgufReader::entry(const std::string& name) const {
  const auto found = places_.find(name);
  if (found != places_.end()) return header_.tensors[found->second];
  const auto near = nearest(name, names_);
  fail("gguf {}: there is no tensor {}{}", path(), shown_name(name),
       near ? fmt::format("; the nearest name is {}", shown_name(*near)) : "");
}

Tensor GgufReader::tensor(const std::string& name) const {
  const GgufTensor& found = entry(name);
  const std::byte* data = file_->bytes().data() + begin(found);
  const int64_t alignment = is_block(found.dtype) ? 2 : size_of(found.dtype);
  if (reinterpret_cast<uintptr_t>(data) % static_cast<uintptr_t>(alignment) != 0) {
    Tensor copy(found.dtype, found.shape);
    std::memcpy(copy.data(), data, static_cast<size_t>(found.bytes));
    return copy;
  }
  return {found.dtype, found.shape, const_cast<std::byte*>(data), file_};
}

void GgufReader::will_need(const std::string& name) const {
  const GgufTensor& found = entry(name);
  file_->will_need(begin(found), static_cast<size_t>(found.bytes));
}

void GgufReader::release(const std::string& name) const {
  const GgufTensor& found = entry(name);
  file_->release(begin(found), static_cast<size_t>(found.bytes));
}

}  // namespace ashlar::formats
