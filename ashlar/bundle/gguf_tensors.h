// The tensors of a GGUF file as a model's rules want them: keys and values of latent attention as
// the one matrix that files of today hold in two, the first of them transposed; matrices of one row
// that are written as vectors.
#pragma once

#include "ashlar/formats/tensor_file.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace ashlar::bundle {

class GgufTensors : public formats::TensorFile {
 public:
  explicit GgufTensors(std::shared_ptr<const formats::TensorFile> file);

  const std::vector<std::string>& names() const override { return names_; }
  bool contains(const std::string& name) const override;
  const formats::TensorSpec& entry(const std::string& name) const override;
  Tensor tensor(const std::string& name) const override;
  void will_need(const std::string& name) const override;
  void release(const std::string& name) const override;
  std::vector<std::string> files() const override { return file_->files(); }
  int64_t data_bytes() const override { return file_->data_bytes(); }

 private:
  // Tensors of the file that one of ours is made of: one, or keys and values.
  struct Made {
    formats::TensorSpec spec;
    std::vector<std::string> from;
  };

  std::shared_ptr<const formats::TensorFile> file_;
  std::map<std::string, Made> made_;
  std::vector<std::string> names_;
};

// Of latent attention's keys and values: "blk.0.attn_kv_b.weight", and the parts' names.
bool is_latent_pair(const std::string& name);
std::string latent_keys(const std::string& name);
std::string latent_values(const std::string& name);
// Whether the file has a matrix of one row as a vector.
bool is_row_vector(const std::string& name);

}  // namespace ashlar::bundle
