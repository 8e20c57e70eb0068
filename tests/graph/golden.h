// Digests that PyTorch made (tests/oracles/torch_ops.py): shape, norm, first and last values and a
// sample of each array, in float64.
#pragma once

#include "tests/graph/graph_run.h"

#include <map>
#include <string>
#include <vector>

namespace ashlar::graph {

struct Digest {
  std::vector<int64_t> shape;
  double norm = 0;
  std::vector<double> first, last, sample;
  size_t stride = 1;
};

// The arrays of tests/fixtures/goldens/NAME.json.
std::map<std::string, Digest> read_golden(const std::string& name);

// Every digested value to `tolerance` of itself or of the root mean square of the whole array; the
// norm to `tolerance`.
void expect_digest(const std::vector<double>& found, const Digest& wanted, double tolerance,
                   const std::string& what);

// The arrays of a golden, found in a run: "y", "d_x" among the outputs, the gradient of a parameter
// ("d_w") in its Variable ("w.grad").
void expect_golden(const RunResult& found, const std::map<std::string, Digest>& golden,
                   double tolerance, const std::string& what);

}  // namespace ashlar::graph
