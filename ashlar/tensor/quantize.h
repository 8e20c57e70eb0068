// Scalar conversion between f32 and the block types of blocks.h: the reference of the kernels, and
// what files are written with. n is a multiple of the type's block.
#pragma once

#include "ashlar/tensor/dtype.h"

#include <cstdint>

namespace ashlar {

// The weights of n / block_elements(dtype) blocks, bit-equal to the PyPI package gguf.
void dequantize(DType dtype, const void* blocks, float* weights, int64_t n);

// The nearest blocks: for plain types those of the package gguf to the bit. Weights are finite.
void quantize(DType dtype, const float* weights, void* blocks, int64_t n);

}  // namespace ashlar
