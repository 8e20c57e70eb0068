// How the values of a training job lie on its mesh, by the placements that the shard pass gave
// them: what each rank holds of a Variable, of the batch's tokens and of what forward computes.
#pragma once

#include "ashlar/mesh/mesh.h"
#include "ashlar/mesh/part.h"
#include "ashlar/tensor/dtype.h"
#include "ashlar/tensor/shape.h"
#include "ashlar/train/config.h"

#include <string>
#include <vector>

namespace ashlar::train {

// A Variable, the "tokens" [rows, row] of a global batch, or an activation of a microbatch.
struct PlannedValue {
  std::string name;
  DType dtype = DType::kF32;
  Shape whole;
  std::string placement;                 // "tensor=S(0)", "R"
  std::vector<std::vector<Part>> parts;  // rank after rank, in one piece or several; none: nothing
  std::string op = {};                   // what makes an activation: "linear", "all_reduce"
  bool term = false;                     // each rank's part is a term of a sum still owed
};

// What forward computes of a microbatch of all ranks, op after op, the collectives among them; rows
// of experts as if all were used alike.
std::vector<PlannedValue> planned_activations(const TrainConfig& config);

}  // namespace ashlar::train
