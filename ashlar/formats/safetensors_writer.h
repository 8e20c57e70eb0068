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

// The files of a model: model.safetensors, or shards model-00001-of-0000N.safetensors and an index.
struct ModelFile {
  std::string name;
  std::vector<TensorSpec> tensors;
  int writer = 0;
};

// Deals the tensors, in their order, to `writers` that write at the same time, each with about as
// many bytes (to within a tensor), and those of each to files of at most max_shard_bytes; a tensor
// larger than that has a file of its own.
std::vector<ModelFile> plan_model_files(const std::vector<TensorSpec>& tensors,
                                        int64_t max_shard_bytes, int writers = 1);

// Behind the files themselves. Writes the index and returns its record; nothing for a single file.
std::vector<FileRecord> write_model_index(const std::string& folder,
                                          const std::vector<ModelFile>& files,
                                          const SafetensorsOptions& options = {});

// All files of a model, in an existing folder.
std::vector<FileRecord> write_safetensors_model(const std::string& folder,
                                                const std::vector<TensorSpec>& tensors,
                                                const TensorSource& source,
                                                const SafetensorsOptions& options = {});

}  // namespace ashlar::formats
