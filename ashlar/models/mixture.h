// The mixture of experts of one layer: router, rows to their experts, the experts' MLPs, and back.
// Built below the current scope: "router.weight" [E, width], "experts.up.weight" [E, ffn, width],
// "experts.gate.weight" the same where gated, "experts.down.weight" [E, width, ffn]; where the
// model has them "router.correction" [E], and an MLP that all tokens share below "shared", with
// "choice.weight" [1, width], its gate.
#pragma once

#include "ashlar/models/decoder_parts.h"

namespace ashlar::models {

struct MixtureStates {
  graph::ValueId y;     // [T, width]
  graph::ValueId load;  // with the layers before; invalid without balance
};

// residual [T, width] is added to y where it is valid.
MixtureStates mixture_of_experts(const DecoderParts& parts, graph::ValueId x,
                                 graph::ValueId residual, graph::ValueId load_so_far);

}  // namespace ashlar::models
