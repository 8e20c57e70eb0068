// Products with quantised weights on AMX, for many rows: what amx/gemm.kernel.cc hands over.
#pragma once

#include "ashlar/kernels/args.h"
#include "ashlar/kernels/parallel.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

// With fewer rows the tier below is as fast.
inline constexpr int64_t kAmxQuantLeastRows = 13;

int64_t amx_quant_scratch(const GemmArgs& args, int threads);
// The bits of quant_gemm (quant_gemm.h), whose packed layout it reads: products of one A, whose
// rows are rounded once.
void amx_quant_gemm(const GemmArgs* products, int count, const Team& team);

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
