#include "ashlar/formats/safetensors_writer.h"

#include "ashlar/base/atomic_file.h"
#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/base/file_aside.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <set>
#include <utility>

namespace ashlar::formats {
namespace {

constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

// In the order given; a tensor larger than the limit has a shard of its own.
std::vector<std::vector<TensorSpec>> split_into_shards(const std::vector<TensorSpec>& tensors,
                                                       int64_t max_bytes) {
  std::vector<std::vector<TensorSpec>> shards(1);
  uint64_t filled = 0;
  for (const TensorSpec& tensor : tensors) {
    const uint64_t bytes = data_bytes(tensor);
    if (!shards.back().empty() && filled + bytes > static_cast<uint64_t>(max_bytes)) {
      shards.emplace_back();
      filled = 0;
    }
    shards.back().push_back(tensor);
    filled += bytes;
  }
  return shards;
}

// A folder with both forms would be read as the single file.
void check_absent(const std::string& folder, const char* name) {
  ASHLAR_CHECK(!is_file(join_path(folder, name)),
               "cannot write a model to {}: it holds {} of another one; remove that first",
               published_path(folder), name);
}

}  // namespace

FileRecord write_safetensors(const std::string& path, std::vector<TensorSpec> tensors,
                             const TensorSource& source, const SafetensorsOptions& options) {
  std::ranges::stable_sort(tensors, std::ranges::greater{},
                           [](const TensorSpec& spec) { return size_of(spec.dtype); });
  const std::string header = format_safetensors_header(tensors, options.metadata);
  AtomicFile file(path, options.label);
  file.write(header);
  for (const TensorSpec& spec : tensors) {
    const Tensor tensor = source(spec);
    ASHLAR_CHECK(tensor.dtype() == spec.dtype && tensor.shape() == spec.shape,
                 "safetensors {}: tensor {}: got {} {}, announced {} {}", path,
                 shown_name(spec.name), name(tensor.dtype()), tensor.shape().str(),
                 name(spec.dtype), spec.shape.str());
    file.write(std::span(tensor.data(), tensor.bytes()));
  }
  file.commit();
  return {file_name(path), file.bytes(), file.checksum()};
}

std::vector<FileRecord> write_safetensors_model(const std::string& folder,
                                                const std::vector<TensorSpec>& tensors,
                                                const TensorSource& source,
                                                const SafetensorsOptions& options) {
  ASHLAR_CHECK(options.max_shard_bytes > 0, "safetensors: shards of {} bytes",
               options.max_shard_bytes);
  const auto shards = split_into_shards(tensors, options.max_shard_bytes);
  if (shards.size() == 1) {
    check_absent(folder, kIndex);
    return {write_safetensors(join_path(folder, kSingle), tensors, source, options)};
  }
  check_absent(folder, kSingle);
  std::vector<FileRecord> files;
  nlohmann::ordered_json index;
  index["metadata"]["total_size"] = uint64_t{0};
  uint64_t total = 0;
  std::set<std::string> names;
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string file = fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
    for (const TensorSpec& tensor : shards[i]) {
      ASHLAR_CHECK(names.insert(tensor.name).second,
                   "safetensors: cannot write tensor {}: the name is taken",
                   shown_name(tensor.name));
      index["weight_map"][tensor.name] = file;
      total += data_bytes(tensor);
    }
    files.push_back(write_safetensors(join_path(folder, file), shards[i], source, options));
  }
  index["metadata"]["total_size"] = total;
  AtomicFile file(join_path(folder, kIndex), options.label);
  file.write(index.dump(2) + "\n");
  file.commit();
  files.push_back({kIndex, file.bytes(), file.checksum()});
  return files;
}

}  // namespace ashlar::formats
