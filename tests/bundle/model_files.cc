#include "tests/bundle/model_files.h"

#include "ashlar/base/atomic_file.h"
#include "ashlar/base/file.h"
#include "ashlar/formats/safetensors.h"
#include "ashlar/formats/safetensors_writer.h"
#include "tests/base/paths.h"

#include <algorithm>

namespace ashlar::testing {

std::string model_folder(const std::string& name) { return test_data("models/") + name; }

Tensors read_tensors(const std::string& folder) {
  const formats::SafetensorsReader file(folder);
  Tensors tensors;
  for (const std::string& name : file.names()) tensors[name] = file.tensor(name);
  return tensors;
}

void write_model(const std::string& folder, const std::string& config, const Tensors& tensors) {
  make_directories(folder);
  write_file(join_path(folder, "config.json"), config);
  std::vector<formats::TensorSpec> specs;
  for (const auto& [name, tensor] : tensors) {
    specs.push_back({name, tensor.dtype(), tensor.shape()});
  }
  formats::write_safetensors_model(
      folder, specs, [&](const formats::TensorSpec& spec) { return tensors.at(spec.name); });
}

bool same_bytes(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() &&
         std::equal(a.data(), a.data() + a.bytes(), b.data());
}

}  // namespace ashlar::testing
