#include "ashlar/bundle/parameter_reader.h"

#include "ashlar/base/error.h"
#include "ashlar/bundle/row_groups.h"

#include <algorithm>

namespace ashlar::bundle {
namespace {

constexpr int64_t kStepBytes = int64_t{1} << 22;  // of f32 at once

int64_t row_length(const Shape& shape) { return shape.rank() == 0 ? 1 : shape[shape.rank() - 1]; }

}  // namespace

ParameterReader::ParameterReader(const Weights& weights, const graph::Graph& graph)
    : weights_(weights) {
  for (const models::WeightRule& rule : weights.rules()) {
    // Of a head that the graph does without.
    if (!graph.find_variable(rule.parameters.front())) continue;
    int64_t row = 0;
    for (const std::string& name : rule.parameters) {
      const auto id = graph.find_variable(name);
      ASHLAR_CHECK(id.has_value(), "weights: the graph has no parameter '{}'", name);
      Parameter& parameter = parameters_[name];
      parameter.shape = graph.variable(*id).shape;
      const int64_t rows = parameter.shape.elements() / row_length(parameter.shape);
      int64_t first = 0;
      if (rule.index) first = *rule.index * (rows / parameter.shape[0]);
      parameter.places.push_back({&rule, first, row});
      // Of vectors the elements follow each other, of matrices the rows.
      row += parameter.shape.rank() == 1 ? parameter.shape[0] : rows;
    }
  }
}

const Shape& ParameterReader::shape(const std::string& parameter) const {
  const auto found = parameters_.find(parameter);
  ASHLAR_CHECK(found != parameters_.end(), "weights: no tensor holds parameter '{}'", parameter);
  return found->second.shape;
}

const Tensor& ParameterReader::tensor_of(const models::WeightRule& rule) {
  const std::string name = weights_.name_of(rule);
  if (open_ == name && transposed_ == rule.transpose) return tensor_;
  tensor_ = {};
  if (!open_.empty()) weights_.file().release(open_);
  open_ = name;
  transposed_ = rule.transpose;
  std::vector<int64_t> rows;
  for (const std::string& parameter : rule.parameters) rows.push_back(shape(parameter)[0]);
  tensor_ = gather_groups(weights_.tensor(rule, name), rows, rule.groups);
  if (rule.transpose) {
    tensor_ = (is_block(tensor_.dtype()) ? tensor_.to(DType::kF32) : tensor_).transposed();
  }
  return tensor_;
}

void ParameterReader::read_from(const Place& place, const Shape& shape, int64_t begin, int64_t end,
                                float* out) {
  const Tensor& tensor = tensor_of(*place.rule);
  const int64_t length = row_length(shape);
  // A vector's one row begins at an element.
  const int64_t element = shape.rank() == 1 ? place.row : (place.row + begin) * length;
  convert(tensor.dtype(), tensor.data() + bytes_of(tensor.dtype(), element), DType::kF32, out,
          (end - begin) * length);
}

void ParameterReader::read_rows(const std::string& parameter, int64_t begin, int64_t end,
                                float* out) {
  const Shape& whole = shape(parameter);
  const std::vector<Place>& places = parameters_.at(parameter).places;
  const int64_t length = row_length(whole);
  for (size_t i = 0; i < places.size(); ++i) {
    const int64_t first = places[i].first;
    const int64_t last = i + 1 < places.size() ? places[i + 1].first
                                               : whole.elements() / std::max<int64_t>(length, 1);
    const int64_t from = std::max(begin, first), to = std::min(end, last);
    if (from >= to) continue;
    read_from(places[i], whole, from - first, to - first, out + (from - begin) * length);
  }
}

Tensor ParameterReader::read(const std::string& parameter, Slice slice, DType dtype) {
  Shape part = shape(parameter);
  const int64_t length = row_length(part);
  if (part.rank() == 1) {
    std::vector<float> values(static_cast<size_t>(length));
    read_rows(parameter, 0, 1, values.data());
    Tensor result(dtype, {slice.length});
    convert(DType::kF32, values.data() + slice.offset, dtype, result.data(), slice.length);
    return result;
  }
  const int64_t rows_each = part.row_elements() / length;
  part[0] = slice.length;
  Tensor result(dtype, part);
  const int64_t step = std::max<int64_t>(kStepBytes / 4 / length, 1);
  std::vector<float> values(static_cast<size_t>(step * length));
  const int64_t end = slice.end() * rows_each;
  for (int64_t row = slice.offset * rows_each; row < end; row += step) {
    const int64_t rows = std::min(step, end - row);
    read_rows(parameter, row, row + rows, values.data());
    const int64_t at = (row - slice.offset * rows_each) * length;
    convert(DType::kF32, values.data(), dtype, result.data() + bytes_of(dtype, at), rows * length);
  }
  return result;
}

}  // namespace ashlar::bundle
