// Reads parameters of a model out of its files by rows, whatever the tensors they lie in: so that a
// model can be written anew without ever being whole in memory.
#pragma once

#include "ashlar/bundle/weights.h"
#include "ashlar/graph/graph.h"
#include "ashlar/mesh/part.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace ashlar::bundle {

class ParameterReader {
 public:
  // The graph has every parameter that will be asked for whole; the weights have been checked
  // against it.
  ParameterReader(const Weights& weights, const graph::Graph& graph);

  const Shape& shape(const std::string& parameter) const;
  // Rows [begin, end) of the parameter taken as a matrix of rows of its last dim (a vector: one
  // row), in f32.
  void read_rows(const std::string& parameter, int64_t begin, int64_t end, float* out);
  // Elements [offset, offset + length) of dim 0, converted some rows at a time.
  Tensor read(const std::string& parameter, Slice slice, DType dtype);

 private:
  // Where the rows from `first` on lie: in the tensor of a rule, from its row `row` on.
  struct Place {
    const models::WeightRule* rule;
    int64_t first, row;
  };
  struct Parameter {
    Shape shape;
    std::vector<Place> places;
  };

  void read_from(const Place& place, const Shape& shape, int64_t begin, int64_t end, float* out);
  // The tensor in rows of ours, where it can be read so.
  const Tensor& tensor_of(const models::WeightRule& rule);

  const Weights& weights_;
  std::map<std::string, Parameter> parameters_;
  // The tensor in use, and its name: what is behind it is released.
  std::string open_;
  bool transposed_ = false;
  Tensor tensor_;
};

}  // namespace ashlar::bundle
