#include "ashlar/bundle/gguf_tensors.h"

#include "ashlar/base/error.h"

#include <cstring>

namespace ashlar::bundle {
namespace {

using formats::TensorSpec;

constexpr std::string_view kPair = ".attn_kv_b.weight", kKeys = ".attn_k_b.weight",
                           kValues = ".attn_v_b.weight", kRow = ".ffn_gate_inp_shexp.weight";

std::string with_ending(const std::string& name, std::string_view from, std::string_view to) {
  return name.substr(0, name.size() - from.size()) + std::string(to);
}

// Keys [heads, rank, own], values [heads, value, rank].
void check_parts(const TensorSpec& keys, const TensorSpec& values) {
  const bool fit = keys.shape.rank() == 3 && values.shape.rank() == 3 &&
                   keys.shape[0] == values.shape[0] && keys.shape[1] == values.shape[2];
  ASHLAR_CHECK(fit, "gguf: tensors '{}' {} and '{}' {} are not keys and values of one latent",
               keys.name, keys.shape.str(), values.name, values.shape.str());
}

// [heads * (own + value), rank]: of each head its keys' rows, then its values'.
Tensor joined(const Tensor& keys, const Tensor& values, const TensorSpec& spec) {
  const Tensor k = keys.to(spec.dtype), v = values.to(spec.dtype);
  const int64_t heads = k.shape()[0], rank = k.shape()[1], own = k.shape()[2];
  Tensor result(spec.dtype, spec.shape);
  std::byte* to = result.data();
  const auto append = [&](const Tensor& rows) {
    std::memcpy(to, rows.data(), rows.bytes());
    to += rows.bytes();
  };
  for (int64_t head = 0; head < heads; ++head) {
    append(k.rows(head, head + 1).reshaped({rank, own}).transposed());
    append(v.rows(head, head + 1));
  }
  return result;
}

}  // namespace

bool is_latent_pair(const std::string& name) { return name.ends_with(kPair); }
std::string latent_keys(const std::string& name) { return with_ending(name, kPair, kKeys); }
std::string latent_values(const std::string& name) { return with_ending(name, kPair, kValues); }
bool is_row_vector(const std::string& name) { return name.ends_with(kRow); }

GgufTensors::GgufTensors(std::shared_ptr<const formats::TensorFile> file) : file_(std::move(file)) {
  for (const std::string& name : file_->names()) {
    const TensorSpec& spec = file_->entry(name);
    if (is_row_vector(name) && spec.shape.rank() == 1) {
      made_[name] = {{name, spec.dtype, {1, spec.shape[0]}}, {name}};
    } else if (name.ends_with(kValues)) {
      const std::string keys = with_ending(name, kValues, kKeys);
      if (file_->contains(keys)) continue;  // comes with them
    } else if (name.ends_with(kKeys)) {
      const std::string values = with_ending(name, kKeys, kValues);
      const std::string pair = with_ending(name, kKeys, kPair);
      if (file_->contains(values)) {
        const TensorSpec& other = file_->entry(values);
        check_parts(spec, other);
        const bool alike = spec.dtype == other.dtype && !is_block(spec.dtype);
        const Shape& k = spec.shape;
        made_[pair] = {
            {pair, alike ? spec.dtype : DType::kF32, {k[0] * (k[2] + other.shape[1]), k[1]}},
            {name, values}};
        names_.push_back(pair);
        continue;
      }
    }
    names_.push_back(name);
  }
}

bool GgufTensors::contains(const std::string& name) const {
  return made_.contains(name) || file_->contains(name);
}

const TensorSpec& GgufTensors::entry(const std::string& name) const {
  const auto made = made_.find(name);
  return made == made_.end() ? file_->entry(name) : made->second.spec;
}

Tensor GgufTensors::tensor(const std::string& name) const {
  const auto made = made_.find(name);
  if (made == made_.end()) return file_->tensor(name);
  const auto& [spec, from] = made->second;
  if (from.size() == 1) return file_->tensor(name).reshaped(spec.shape);
  return joined(file_->tensor(from[0]), file_->tensor(from[1]), spec);
}

void GgufTensors::will_need(const std::string& name) const {
  const auto made = made_.find(name);
  if (made == made_.end()) return file_->will_need(name);
  for (const std::string& part : made->second.from) file_->will_need(part);
}

void GgufTensors::release(const std::string& name) const {
  const auto made = made_.find(name);
  if (made == made_.end()) return file_->release(name);
  for (const std::string& part : made->second.from) file_->release(part);
}

}  // namespace ashlar::bundle
