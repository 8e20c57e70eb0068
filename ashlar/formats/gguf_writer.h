// Writes GGUF version 3, tensor by tensor and each in pieces, so that no tensor need be whole in
// memory. The file appears atomically: written aside, synced, renamed.
#pragma once

#include "ashlar/base/atomic_file.h"
#include "ashlar/formats/gguf_header.h"
#include "ashlar/formats/manifest.h"

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace ashlar::formats {

// Takes the next bytes of a tensor's data.
using WriteBytes = std::function<void(std::span<const std::byte>)>;
// Hands all bytes of a tensor over, in order.
using GgufSource = std::function<void(const TensorSpec& tensor, const WriteBytes& write)>;

// Returns the file's name, size and checksum. label names the crash points.
FileRecord write_gguf(const std::string& path, const GgufMetadata& metadata,
                      const std::vector<TensorSpec>& tensors, const GgufSource& source,
                      const std::string& label = "gguf");

}  // namespace ashlar::formats
