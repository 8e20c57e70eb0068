// A copy in memory of what this rank writes of a checkpoint, taken between two steps: its parts of
// the moments, and its tensors of the model whole, for which ranks that hold parts send them over.
#pragma once

#include "ashlar/comm/communicator.h"
#include "ashlar/runtime/variable_store.h"
#include "ashlar/tensor/tensor.h"
#include "ashlar/train/save_plan.h"

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace ashlar::train {

class Snapshot {
 public:
  // Plan and store outlive this. comm: null on one rank.
  Snapshot(const SavePlan& plan, const StateLayout& layout, const runtime::VariableStore& store,
           comm::Communicator* comm);

  // All ranks call this behind the same step. Memory is allocated by the first call and kept.
  void take();

  const Tensor& parameter(const bundle::ParameterPart& part) const;
  const Tensor& moment(const std::string& name) const;

 private:
  using Key = std::pair<std::string, std::string>;  // a parameter's name, the part as text
  struct Piece {
    DType dtype = DType::kF32;
    Part part;
    Tensor tensor;
  };

  std::vector<comm::Pending> start_sends(std::vector<Tensor>& packed);
  void receive(const Transfer& transfer);
  comm::Group group() const;

  const SavePlan& plan_;
  const runtime::VariableStore& store_;
  comm::Communicator* comm_;
  int rank_ = 0;
  std::map<Key, Piece> parameters_;
  std::map<std::string, Tensor> moments_;
};

}  // namespace ashlar::train
