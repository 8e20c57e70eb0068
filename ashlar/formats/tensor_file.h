// A file of named tensors, whatever its format, mapped: nothing is copied until it is touched.
#pragma once

#include "ashlar/tensor/tensor.h"

#include <cstdint>
#include <string>
#include <vector>

namespace ashlar::formats {

struct TensorSpec {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
};

class TensorFile {
 public:
  virtual ~TensorFile() = default;

  virtual const std::vector<std::string>& names() const = 0;  // in the order of the data
  virtual bool contains(const std::string& name) const = 0;
  virtual const TensorSpec& entry(const std::string& name) const = 0;  // throws, naming the nearest

  // A read-only view that keeps the mapping alive, also beyond this object. Data that is not
  // aligned for its type (other writers may leave it so) is copied.
  virtual Tensor tensor(const std::string& name) const = 0;

  // What the pages of a tensor will be wanted for, and no longer are.
  virtual void will_need(const std::string& name) const = 0;
  virtual void release(const std::string& name) const = 0;

  virtual std::vector<std::string> files() const = 0;
  virtual int64_t data_bytes() const = 0;
};

}  // namespace ashlar::formats
