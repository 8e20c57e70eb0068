// Runs one op by itself, as the Executor or a ReferenceRun would: outputs of the shapes it infers,
// exactly the scratch it asks for, and the other ranks where it talks to them.
#pragma once

#include "ashlar/graph/op.h"
#include "ashlar/tensor/tensor.h"
#include "tests/kernels/tier_fixture.h"

#include <vector>

namespace ashlar::graph {

struct OpRun {
  RunState state{.seed = 3, .step = 1};
  comm::Communicator* comm = nullptr;
};

std::vector<Tensor> run_op(const Op& op, std::vector<Tensor> inputs,
                           const kernels::KernelTable& table, kernels::TestTeam& team,
                           const OpRun& run = {});
// Floats of the inputs are f64, and so are those of the outputs.
std::vector<Tensor> run_op_f64(const Op& op, std::vector<Tensor> inputs, const OpRun& run = {});

int64_t scratch_of(const Op& op, std::vector<Tensor> inputs, const kernels::KernelTable& table,
                   int threads);

Tensor floats(DType dtype, Shape shape, const std::vector<float>& values);
Tensor ints(const std::vector<int32_t>& values);
std::vector<double> doubles(const Tensor& x);

}  // namespace ashlar::graph
