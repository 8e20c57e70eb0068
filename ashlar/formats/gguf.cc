#include "ashlar/formats/gguf.h"

#include "ashlar/base/edit_distance.h"
#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/base/shown_text.h"
#include "ashlar/formats/safetensors_header.h"

#include <cstring>

namespace ashlar::formats {

namespace {

// "-00002-of-00003.gguf"
std::string part_ending(int64_t number, int64_t count) {
  return fmt::format("-{:05}-of-{:05}.gguf", number, count);
}

// The model's name without that; `path` is the first part's.
std::string split_stem(const std::string& path, const GgufMetadata& metadata, int64_t count) {
  const int64_t number = metadata.integer("split.no", 0);
  const std::string ending = part_ending(number + 1, count);
  ASHLAR_CHECK(path.ends_with(ending), "gguf {}: is part {} of {}; its name has to end in {}", path,
               number + 1, count, ending);
  const std::string stem = path.substr(0, path.size() - ending.size());
  ASHLAR_CHECK(number == 0, "gguf {}: is part {} of {}; open the first, {}{}", path, number + 1,
               count, stem, part_ending(1, count));
  return stem;
}

}  // namespace

GgufReader::GgufReader(const std::string& path) {
  add_part(path);
  const int64_t count = metadata().integer("split.count", 1);
  if (count <= 1) return;
  const std::string stem = split_stem(path, metadata(), count);
  for (int64_t i = 1; i < count; ++i) {
    const std::string other = stem + part_ending(i + 1, count);
    ASHLAR_CHECK(is_file(other), "gguf {}: part {} of {} is missing: {}", path, i + 1, count,
                 other);
    add_part(other);
    const GgufMetadata& keys = parts_.back().header.metadata;
    const int64_t number = keys.integer("split.no"), of = keys.integer("split.count");
    ASHLAR_CHECK(number == i && of == count, "gguf {}: says it is part {} of {}, wanted {} of {}",
                 other, number + 1, of, i + 1, count);
  }
  const int64_t tensors = metadata().integer("split.tensors.count", std::ssize(names_));
  ASHLAR_CHECK(tensors == std::ssize(names_), "gguf {}: its {} parts have {} tensors, wanted {}",
               path, count, names_.size(), tensors);
}

void GgufReader::add_part(const std::string& path) {
  auto file = std::make_shared<const MappedFile>(path);
  GgufHeader header = parse_gguf_header(file->bytes(), path);
  for (size_t i = 0; i < header.tensors.size(); ++i) {
    const GgufTensor& tensor = header.tensors[i];
    const bool fresh = places_.emplace(tensor.name, Place{parts_.size(), i}).second;
    ASHLAR_CHECK(fresh, "gguf {}: tensor {} is in an earlier part too", path,
                 shown_text(tensor.name));
    names_.push_back(tensor.name);
    data_bytes_ += static_cast<int64_t>(tensor.bytes);
  }
  parts_.push_back({std::move(file), std::move(header)});
}

std::vector<std::string> GgufReader::files() const {
  std::vector<std::string> files;
  for (const Part& part : parts_) files.push_back(part.file->path());
  return files;
}

const GgufReader::Place& GgufReader::place(const std::string& name) const {
  const auto found = places_.find(name);
  if (found != places_.end()) return found->second;
  const auto near = nearest(name, names_);
  fail("gguf {}: there is no tensor {}{}", path(), shown_text(name),
       near ? fmt::format("; the nearest name is {}", shown_text(*near)) : "");
}

const GgufTensor& GgufReader::entry(const std::string& name) const {
  const Place& at = place(name);
  return parts_[at.part].header.tensors[at.tensor];
}

size_t GgufReader::begin(const Place& at) const {
  const GgufHeader& header = parts_[at.part].header;
  return static_cast<size_t>(header.data_begin + header.tensors[at.tensor].offset);
}

Tensor GgufReader::tensor(const std::string& name) const {
  const Place& at = place(name);
  const Part& part = parts_[at.part];
  const GgufTensor& found = part.header.tensors[at.tensor];
  const std::byte* data = part.file->bytes().data() + begin(at);
  const int64_t alignment = is_block(found.dtype) ? 2 : size_of(found.dtype);
  if (reinterpret_cast<uintptr_t>(data) % static_cast<uintptr_t>(alignment) != 0) {
    Tensor copy(found.dtype, found.shape);
    std::memcpy(copy.data(), data, static_cast<size_t>(found.bytes));
    return copy;
  }
  return {found.dtype, found.shape, const_cast<std::byte*>(data), part.file};
}

void GgufReader::will_need(const std::string& name) const {
  const Place& at = place(name);
  parts_[at.part].file->will_need(begin(at), static_cast<size_t>(entry(name).bytes));
}

void GgufReader::release(const std::string& name) const {
  const Place& at = place(name);
  parts_[at.part].file->release(begin(at), static_cast<size_t>(entry(name).bytes));
}

}  // namespace ashlar::formats
