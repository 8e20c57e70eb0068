// What the ops of collective.h send, told to a communicator that counts.
#include "ashlar/graph/ops/collective.h"

namespace ashlar::graph {
namespace {

comm::Buffer shape_of(const Operand& operand) {
  return {operand.dtype, nullptr, operand.shape.elements()};
}

// Elements that each rank of the group holds of a value with rows.
std::vector<int64_t> dealt(const comm::Group& group, const Operand& all) {
  std::vector<int64_t> counts;
  for (int i = 0; i < group.size(); ++i) {
    counts.push_back(slice_of(all.shape[0], group.size(), i).length * all.shape.row_elements());
  }
  return counts;
}

void gather(const TrafficCall& call, const GroupLabel& on) {
  const Operand& all = call.outputs[0];
  call.comm.all_gather(on.group, shape_of(call.inputs[0]), dealt(on.group, all), shape_of(all),
                       on.label);
}

// Of the first inputs, one for each output.
void reduce_scatter(const TrafficCall& call, const GroupLabel& on) {
  for (size_t i = 0; i < call.outputs.size(); ++i) {
    const Operand& term = call.inputs[i];
    call.comm.reduce_scatter(on.group, comm::Reduce::kSum, shape_of(term), dealt(on.group, term),
                             shape_of(call.outputs[i]), on.label);
  }
}

}  // namespace

void AllReduceOp::traffic(const TrafficCall& call) const {
  std::vector<comm::Buffer> sums;
  for (const Operand& y : call.outputs) {
    if (block_ && !sums.empty()) {
      sums[0].elements += y.shape.elements();
    } else {
      sums.push_back(shape_of(y));
    }
  }
  for (const comm::Buffer& sum : sums) call.comm.all_reduce(on_.group, reduce_, sum, on_.label);
}

void AllGatherOp::traffic(const TrafficCall& call) const { gather(call, on_); }
void GatherIntoOp::traffic(const TrafficCall& call) const { gather(call, on_); }
void ReduceScatterOp::traffic(const TrafficCall& call) const { reduce_scatter(call, on_); }
void ReduceIntoOp::traffic(const TrafficCall& call) const { reduce_scatter(call, on_); }

}  // namespace ashlar::graph
