// Products with quantised weights: what gemm.kernel.cc hands over to quant_gemm.kernel.cc. A tier
// with a base (cmake/kernels.cmake) has them of its base.
#pragma once

#include "ashlar/kernels/args.h"
#include "ashlar/kernels/parallel.h"

namespace ashlar::kernels::ASHLAR_BASE_NAMESPACE {

int64_t quant_packed_bytes(DType dtype, int64_t r, int64_t n);
// b.data: [N] rows of r / elements blocks, as GGUF has them.
void quant_pack(const MatrixView& b, int64_t r, int64_t n, int64_t n_begin, int64_t n_end,
                void* packed);
// Up to kMostProducts of one A (the same a, m, r and norm), which is contiguous along r: its rows
// are rounded once for each of their formats.
int64_t quant_gemm_scratch(const GemmArgs* products, int count);
void quant_gemm(const GemmArgs* products, int count, const Team& team);
// The same of one whose rows are rounded already (quant_product.h); a is not used.
void quant_gemm_rounded(const GemmArgs& args, const std::byte* rounded, const Team& team);

}  // namespace ashlar::kernels::ASHLAR_BASE_NAMESPACE
