#include "ashlar/formats/gguf_writer.h"

#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/base/shown_text.h"
#include "ashlar/formats/safetensors_header.h"

#include <cstring>
#include <set>

namespace ashlar::formats {
namespace {

template <typename T>
void append(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void append_string(std::string& out, std::string_view text) {
  append<uint64_t>(out, text.size());
  out += text;
}

void append_element(std::string& out, const GgufValue& value, size_t i) {
  switch (value.kind) {
    case GgufKind::kU8:
    case GgufKind::kI8:
    case GgufKind::kBool:
      return append(out, static_cast<uint8_t>(value.integers[i]));
    case GgufKind::kU16:
    case GgufKind::kI16:
      return append(out, static_cast<uint16_t>(value.integers[i]));
    case GgufKind::kU32:
    case GgufKind::kI32:
      return append(out, static_cast<uint32_t>(value.integers[i]));
    case GgufKind::kU64:
    case GgufKind::kI64:
      return append(out, value.integers[i]);
    case GgufKind::kF32:
      return append(out, static_cast<float>(value.reals[i]));
    case GgufKind::kF64:
      return append(out, value.reals[i]);
    case GgufKind::kString:
      return append_string(out, value.strings[i]);
    case GgufKind::kArray:
      fail("gguf: arrays of arrays cannot be written");
  }
}

void append_value(std::string& out, const GgufValue& value) {
  if (value.array) {
    append(out, static_cast<uint32_t>(GgufKind::kArray));
    append(out, static_cast<uint32_t>(value.kind));
    append<uint64_t>(out, value.size());
  } else {
    append(out, static_cast<uint32_t>(value.kind));
  }
  for (size_t i = 0; i < value.size(); ++i) append_element(out, value, i);
}

uint64_t bytes_in_file(const TensorSpec& tensor) {
  return static_cast<uint64_t>(bytes_of(tensor.dtype, tensor.shape.elements()));
}

}  // namespace

std::string format_gguf_header(const GgufMetadata& metadata, std::span<const TensorSpec> tensors) {
  std::string out = "GGUF";
  append<uint32_t>(out, 3);
  append<uint64_t>(out, tensors.size());
  append<uint64_t>(out, metadata.entries().size());
  for (const auto& [key, value] : metadata.entries()) {
    append_string(out, key);
    append_value(out, value);
  }
  const int64_t alignment = metadata.integer("general.alignment", kGgufAlignment);
  std::set<std::string_view> names;
  uint64_t offset = 0;
  for (const TensorSpec& tensor : tensors) {
    ASHLAR_CHECK(names.insert(tensor.name).second,
                 "gguf: cannot write tensor {}: the name is taken", shown_text(tensor.name));
    ASHLAR_CHECK(tensor.shape.rank() >= 1 && tensor.shape.rank() <= 4,
                 "gguf: cannot write tensor {} of shape {}, wanted 1 to 4 dims",
                 shown_text(tensor.name), tensor.shape.str());
    const int64_t row = tensor.shape[tensor.shape.rank() - 1];
    ASHLAR_CHECK(row % block_elements(tensor.dtype) == 0,
                 "gguf: cannot write tensor {}: its rows of {} are no whole blocks of {}",
                 shown_text(tensor.name), row, name(tensor.dtype));
    append_string(out, tensor.name);
    append(out, static_cast<uint32_t>(tensor.shape.rank()));
    for (int dim = tensor.shape.rank(); dim-- > 0;) {
      append(out, static_cast<uint64_t>(tensor.shape[dim]));
    }
    append(out, gguf_type(tensor.dtype));
    append(out, offset);
    offset += padded_bytes(bytes_in_file(tensor), alignment);
  }
  out.resize(static_cast<size_t>(padded_bytes(out.size(), alignment)), '\0');
  return out;
}

FileRecord write_gguf(const std::string& path, const GgufMetadata& metadata,
                      const std::vector<TensorSpec>& tensors, const GgufSource& source,
                      const std::string& label) {
  const int64_t alignment = metadata.integer("general.alignment", kGgufAlignment);
  AtomicFile file(path, label);
  file.write(format_gguf_header(metadata, tensors));
  for (const TensorSpec& tensor : tensors) {
    uint64_t written = 0;
    source(tensor, [&](std::span<const std::byte> data) {
      file.write(data);
      written += data.size();
    });
    const uint64_t bytes = bytes_in_file(tensor);
    ASHLAR_CHECK(written == bytes, "gguf: tensor {} was given {} bytes, its shape {} has {}",
                 shown_text(tensor.name), written, tensor.shape.str(), bytes);
    file.write(std::string(static_cast<size_t>(padded_bytes(bytes, alignment) - bytes), '\0'));
  }
  file.commit();
  return {file_name(path), file.bytes(), file.checksum()};
}

}  // namespace ashlar::formats
