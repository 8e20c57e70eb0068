// Writes safetensors, tensor by tensor: `source` is asked for one at a time, so a model that is
// converted on the way is never whole in memory. Files appear atomically. Within a file tensors of
// wide elements come first, the rest in the order given, so every tensor is aligned for its type.
#pragma once

#include "ashlar/formats/manifest.h"
#include "ashlar/formats/safetensors_header.h"
#include "ashlar/tensor/tensor.h"

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace ashlar::formats {

using TensorSource = std::function<Tensor(const TensorSpec&)>;

struct SafetensorsOptions {
  std::map<std::string, std::string> metadata = {{"format", "pt"}};
  int64_t max_shard_bytes = 5'000'000'000;
  std::string label = "safetensors";  // names the crash points
};

// One file. Returns its name, size and checksum, for a manifest.
FileRecord write_safetensors(const std::string& path, std::vector<TensorSpec> tensors,
                             const TensorSource& source, const SafetensorsOptions& options = {});

// A model in an existing folder: model.safetensors, or if its data exceed max_shard_bytes, shards
// model-00001-of-0000N.safetensors and last their index.
std::vector<FileRecord> write_safetensors_model(const std::string& folder,
                                                const std::vector<TensorSpec>& tensors,
                                                const TensorSource& source,
                                                const SafetensorsOptions& options = {});

}  // namespace ashlar::formats
