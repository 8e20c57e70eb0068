// Writes the update of a differentiated graph as ops of phase U: the global gradient norm, one
// scale that clips it, and AdamW or Muon for each parameter. Adds the input "lr" f32 [1], the
// moments as Variables ("NAME.m", "NAME.v"; "NAME.momentum") and the output "grad_norm" f32 [1].
#pragma once

#include "ashlar/graph/graph.h"
#include "ashlar/graph/ops/optimizer.h"
#include "ashlar/train/config.h"

#include <map>

namespace ashlar::train {

struct UpdateRule {
  Optimizer optimizer = Optimizer::kAdamW;  // Muon: for the matrices of linear layers, AdamW else
  graph::AdamWSpec adamw;                   // its weight decay is Muon's too
  double momentum = 0.95;
  Decay decay = Decay::kMatrices;
  double clip = 1.0;  // <= 0: no clipping
  // The gradients are those of the loss times an input "gradient_scale" f32 [1] (loss_scale.h).
  bool scaled_loss = false;
  bool stochastic = false;  // parameters without masters are rounded so

  static UpdateRule of(const TrainSection& config);
};

// gradients: what passes::differentiate returned.
void add_update_rule(graph::Graph& graph,
                     const std::map<graph::VariableId, graph::VariableId>& gradients,
                     const UpdateRule& rule);

}  // namespace ashlar::train
