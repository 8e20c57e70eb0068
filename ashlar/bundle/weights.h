// The weights of a model as they lie in its files, with the rules that say which of its parameters
// each tensor holds: a Hugging Face folder's under their names, a GGUF file's under its own.
#pragma once

#include "ashlar/formats/tensor_file.h"
#include "ashlar/models/family.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ashlar::bundle {

class Weights {
 public:
  // described_by: what asks for these tensors, for messages: "config.json". extras: tensors that
  // are no weights and have been read already.
  Weights(std::shared_ptr<const formats::TensorFile> file, std::vector<models::WeightRule> rules,
          std::string described_by, std::string_view prefix, std::vector<std::string> extras = {})
      : file_(std::move(file)),
        rules_(std::move(rules)),
        described_by_(std::move(described_by)),
        prefix_(prefix),
        extras_(std::move(extras)) {}

  // Of a Hugging Face folder.
  Weights(std::shared_ptr<const formats::TensorFile> file, models::TensorNames names,
          std::string described_by)
      : file_(std::move(file)),
        rules_(std::move(names.rules)),
        described_by_(std::move(described_by)),
        prefix_(names.prefix),
        older_(std::move(names.older)),
        is_buffer_(std::move(names.is_buffer)) {}

  const formats::TensorFile& file() const { return *file_; }
  const std::vector<models::WeightRule>& rules() const { return rules_; }
  const std::string& described_by() const { return described_by_; }
  bool is_extra(const std::string& name) const {
    return std::ranges::count(extras_, name) > 0 || (is_buffer_ && is_buffer_(name));
  }

  const std::vector<std::string>& names() const { return file_->names(); }
  bool contains(const std::string& name) const { return file_->contains(name); }
  const formats::TensorSpec& entry(const std::string& name) const { return file_->entry(name); }
  Tensor tensor(const std::string& name) const { return file_->tensor(name); }
  int64_t data_bytes() const { return file_->data_bytes(); }

  // The rule's tensor in this file: base-model checkpoints leave the family's prefix away, old ones
  // end some names otherwise.
  std::string name_of(const models::WeightRule& rule) const;
  // The tensor of a rule as the rule's transpose and parameters have it: what the file adds or
  // orders otherwise is undone.
  Tensor tensor(const models::WeightRule& rule, const std::string& name) const;

 private:
  std::shared_ptr<const formats::TensorFile> file_;
  std::vector<models::WeightRule> rules_;
  std::string described_by_;
  std::string prefix_;
  std::vector<std::pair<std::string_view, std::string_view>> older_;
  std::function<bool(std::string_view tensor)> is_buffer_;
  std::vector<std::string> extras_;
};

// llama.cpp turns pairs of neighbouring channels, we turn a channel and the one half a head away:
// the rows of a query or key weight (or its bias) in the order of the other.
Tensor halves_from_pairs(const Tensor& tensor, int64_t heads);
Tensor pairs_from_halves(const Tensor& tensor, int64_t heads);

}  // namespace ashlar::bundle
