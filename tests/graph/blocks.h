// The decoder blocks that tests/oracles/torch_ops.py computes with PyTorch, in ops of ours, and the
// data they run on: width 320, head dim 80, 700 tokens.
#pragma once

#include "tests/graph/graph_run.h"

#include <vector>

namespace ashlar::graph {

// cos, sin of the llama3 frequency scaling: factor 8, from 256 positions, theta 10000.
std::vector<float> llama3_table(int64_t positions, int64_t dim);
std::vector<int32_t> counting(int64_t n);  // 0, 1, 2, ...

// x [T, 320] -> [T, 320].
ValueId llama_block(Builder& b, ValueId x);
ValueId gpt2_block(Builder& b, ValueId x);
RunData llama_block_data();
RunData gpt2_block_data();  // two documents, of 300 and 400 tokens

// The block with its backward: outputs y and d_x.
Graph block_graph(ValueId (*block)(Builder& b, ValueId x));

}  // namespace ashlar::graph
