// What the layers of a decoder are put together from: norms, projections, and how a branch
// (attention, MLP) joins the residual stream. Everything is built below the builder's scope.
#pragma once

#include "ashlar/models/decoder.h"

#include <string>

namespace ashlar::models {

// One matrix of a layer: its rows are outputs.
struct Projection {
  const char* name;
  int64_t outputs, inputs;
  const char* output_dim;
  const char* input_dim;
  bool bias;
};

class DecoderParts {
 public:
  DecoderParts(graph::Builder& b, const DecoderConfig& config, const DecoderOptions& options)
      : b_(b), config_(config), options_(options) {}

  graph::Builder& builder() const { return b_; }
  const DecoderConfig& config() const { return config_; }
  const DecoderOptions& options() const { return options_; }

  // A norm over the width of the residual stream.
  graph::ValueId norm(graph::ValueId x, const std::string& name) const;
  // Of queries or keys, as config.qk_norm says: x [T, heads * head_dim], dim "heads" or "kv_heads".
  graph::ValueId head_norm(graph::ValueId x, int64_t heads, const char* dim,
                           const std::string& name) const;

  graph::ValueId project(graph::ValueId x, const Projection& p) const;

  // A branch's last projection, joined with the residual stream.
  graph::ValueId project_onto(graph::ValueId residual, graph::ValueId x, const Projection& p) const;
  // The same without what becomes of it: the sum alone, or the projection where residual is
  // invalid.
  graph::ValueId project_into(graph::ValueId residual, graph::ValueId x, const Projection& p) const;
  // residual + what becomes of y: norm, scale, dropout, those that there are.
  graph::ValueId join(graph::ValueId residual, graph::ValueId y, const std::string& name) const;
  // Whether nothing does: then the sum can be the epilogue of the op that makes y.
  bool joins_plainly() const;

  // A row for each token, or each position.
  graph::ValueId table(const std::string& name, int64_t rows, int64_t width,
                       const std::string& dim) const;

 private:
  graph::ValueId matrix(const Projection& p, double std) const;
  graph::ValueId bias(const Projection& p) const;
  graph::ValueId norm_over(graph::ValueId x, Shape shape, const std::vector<std::string>& dims,
                           int64_t group, bool bias, const std::string& name) const;

  graph::Builder& b_;
  const DecoderConfig& config_;
  const DecoderOptions& options_;
};

// Of the initial matrices that write to the residual stream.
double output_std(const DecoderConfig& config);

}  // namespace ashlar::models
