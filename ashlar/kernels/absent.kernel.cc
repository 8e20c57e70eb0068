// What a tier is in a build that leaves it out because the processor at hand cannot run it: nothing
// fills its table (table.cc, probe.cc).
#include "ashlar/kernels/probe_table.h"
#include "ashlar/kernels/table.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

void fill_gemm(KernelTable&) {}
void fill_quant_mlp(KernelTable&) {}
void fill_cast(KernelTable&) {}
void fill_attention(KernelTable&) {}
void fill_latent(KernelTable&) {}
void fill_norm(KernelTable&) {}
void fill_column_sum(KernelTable&) {}
void fill_rope(KernelTable&) {}
void fill_elementwise(KernelTable&) {}
void fill_rows(KernelTable&) {}
void fill_loss(KernelTable&) {}
void fill_moe_route(KernelTable&) {}
void fill_moe_rows(KernelTable&) {}
void fill_optimizer(KernelTable&) {}
void fill_probe(ProbeTable&) {}
void map_vec_math(int, const float*, float*, int64_t) {}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
