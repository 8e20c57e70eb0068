// Products with quantised weights: what gemm.kernel.cc hands over to quant_gemm.kernel.cc.
#pragma once

#include "ashlar/kernels/args.h"
#include "ashlar/kernels/parallel.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

int64_t quant_packed_bytes(DType dtype, int64_t r, int64_t n);
// b.data: [N] rows of r / elements blocks, as GGUF has them.
void quant_pack(const MatrixView& b, int64_t r, int64_t n, int64_t n_begin, int64_t n_end,
                void* packed);
int64_t quant_gemm_scratch(const GemmArgs& args);
// args.a is contiguous along r.
void quant_gemm(const GemmArgs& args, const Team& team);

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
