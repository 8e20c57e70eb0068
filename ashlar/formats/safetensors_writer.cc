#include "ashlar/formats/safetensors_writer.h"

#include "ashlar/base/atomic_file.h"
#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/base/file_aside.h"
#include "ashlar/base/shown_text.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <iterator>
#include <utility>

namespace ashlar::formats {
namespace {

constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

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
                 shown_text(spec.name), name(tensor.dtype()), tensor.shape().str(),
                 name(spec.dtype), spec.shape.str());
    file.write(std::span(tensor.data(), tensor.bytes()));
  }
  file.commit();
  return {file_name(path), file.bytes(), file.checksum()};
}

std::vector<ModelFile> plan_model_files(const std::vector<TensorSpec>& tensors,
                                        int64_t max_shard_bytes, int writers) {
  ASHLAR_CHECK(max_shard_bytes > 0, "safetensors: shards of {} bytes", max_shard_bytes);
  uint64_t total = 0;
  for (const TensorSpec& tensor : tensors) total += data_bytes(tensor);
  std::vector<ModelFile> files;
  uint64_t begin = 0, filled = 0;
  for (const TensorSpec& tensor : tensors) {
    const uint64_t bytes = data_bytes(tensor);
    // Whose share of the bytes the tensor's middle lies in.
    const double middle = static_cast<double>(begin) + static_cast<double>(bytes) / 2;
    const int writer =
        total == 0 ? 0 : static_cast<int>(middle / static_cast<double>(total) * writers);
    begin += bytes;
    if (files.empty() || files.back().writer != writer ||
        (!files.back().tensors.empty() &&
         filled + bytes > static_cast<uint64_t>(max_shard_bytes))) {
      files.push_back({.name = {}, .tensors = {}, .writer = writer});
      filled = 0;
    }
    files.back().tensors.push_back(tensor);
    filled += bytes;
  }
  if (files.empty()) files.emplace_back();  // a model of no tensors is a file too
  for (size_t i = 0; i < files.size(); ++i) {
    files[i].name = files.size() == 1
                        ? kSingle
                        : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, files.size());
  }
  return files;
}

std::vector<FileRecord> write_model_index(const std::string& folder,
                                          const std::vector<ModelFile>& files,
                                          const SafetensorsOptions& options) {
  if (files.size() == 1) {
    check_absent(folder, kIndex);
    return {};
  }
  check_absent(folder, kSingle);
  nlohmann::ordered_json index;
  index["metadata"]["total_size"] = uint64_t{0};
  uint64_t total = 0;
  for (const ModelFile& file : files) {
    for (const TensorSpec& tensor : file.tensors) {
      ASHLAR_CHECK(!index["weight_map"].contains(tensor.name),
                   "safetensors: cannot write tensor {}: the name is taken",
                   shown_text(tensor.name));
      index["weight_map"][tensor.name] = file.name;
      total += data_bytes(tensor);
    }
  }
  index["metadata"]["total_size"] = total;
  AtomicFile file(join_path(folder, kIndex), options.label);
  file.write(index.dump(2) + "\n");
  file.commit();
  return {{kIndex, file.bytes(), file.checksum()}};
}

std::vector<FileRecord> write_safetensors_model(const std::string& folder,
                                                const std::vector<TensorSpec>& tensors,
                                                const TensorSource& source,
                                                const SafetensorsOptions& options) {
  const std::vector<ModelFile> files = plan_model_files(tensors, options.max_shard_bytes);
  check_absent(folder, files.size() == 1 ? kIndex : kSingle);
  std::vector<FileRecord> records;
  for (const ModelFile& file : files) {
    records.push_back(
        write_safetensors(join_path(folder, file.name), file.tensors, source, options));
  }
  std::ranges::move(write_model_index(folder, files, options), std::back_inserter(records));
  return records;
}

}  // namespace ashlar::formats
