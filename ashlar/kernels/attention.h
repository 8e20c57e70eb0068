// The attention family's sources within one tier: fill_attention sets all entries of the family.
#pragma once

namespace ashlar::kernels {
struct KernelTable;
}

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

void fill_attention(KernelTable& table);
void fill_attention_grad(KernelTable& table);
void fill_paged_attention(KernelTable& table);

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
