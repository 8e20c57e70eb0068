// Who writes what of a checkpoint: every tensor of the model whole in one file, the ranks dealt
// about as many bytes each; every part of the moments by one of the ranks that hold it. A pure
// function of the layout, so all ranks plan the same without talking.
#pragma once

#include "ashlar/bundle/save_bundle.h"
#include "ashlar/train/state_layout.h"

#include <cstdint>
#include <string>
#include <vector>

namespace ashlar::train {

// A part of a parameter that `to` writes as part of `piece`, and `from` holds.
struct Transfer {
  std::string name;
  Part piece;  // what `to` puts together
  Part held;   // what `from` holds
  int from = 0, to = 0;
};

struct MomentPart {
  std::string name;
  DType dtype = DType::kF32;
  Shape whole;
  Part part;
};

struct MomentFile {
  std::string name;  // in the checkpoint
  int writer = 0;
  std::vector<MomentPart> parts;
};

struct SavePlan {
  bundle::WeightPlan weights;
  std::vector<Transfer> transfers;  // from == to: a copy
  std::vector<MomentFile> moments;  // one a rank that writes any
};

SavePlan plan_save(const StateLayout& layout, const models::DecoderConfig& model,
                   const bundle::SaveOptions& options);

// What saves hold in a rank's memory: the copy, and the tensors in the making as the file wants
// them.
int64_t save_bytes(const SavePlan& plan, const StateLayout& layout, int rank);

}  // namespace ashlar::train
