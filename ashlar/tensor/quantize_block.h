// One block of weights whose scales have to be searched for; codes of the block are zero before.
#pragma once

#include "ashlar/tensor/blocks.h"

namespace ashlar {

void quantize_block(const float* x, BlockIQ4NL& b);
void quantize_block(const float* x, BlockQ2K& b);
void quantize_block(const float* x, BlockQ3K& b);
void quantize_block(const float* x, BlockQ4K& b);
void quantize_block(const float* x, BlockQ5K& b);
void quantize_block(const float* x, BlockQ6K& b);

}  // namespace ashlar
