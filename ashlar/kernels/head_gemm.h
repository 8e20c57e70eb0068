// One product of the same shape for each head, the gemm of the table: large ones are computed by
// all threads one after the other, small ones are dealt out to a thread each. Like grouped_gemm.h,
// but heads lie beside each other in rows that all have.
#pragma once

#include "ashlar/kernels/grouped_gemm.h"

namespace ashlar::kernels {

// one: the arguments of a head's product, with as many rows as there can be.
inline int64_t head_gemm_scratch(const KernelTable& table, int threads, const GemmArgs& one) {
  const int64_t alone = (table.gemm_scratch(one, 1) + 63) / 64 * 64;
  return std::max(table.gemm_scratch(one, threads), threads * alone);
}

// product(head) gives the arguments of a head's product.
template <typename F>
void head_gemm(const KernelTable& table, const Team& team, int64_t heads, const F& product) {
  if (team.threads == 1 || !computed_alone(product(0))) {
    for (int64_t head = 0; head < heads; ++head) table.gemm(product(head), team);
    return;
  }
  const int64_t bytes = team.scratch_bytes / team.threads / 64 * 64;
  parallel_for(team, heads, [&](int64_t head, int thread) {
    table.gemm(product(head), {.scratch = team.scratch + thread * bytes, .scratch_bytes = bytes});
  });
}

}  // namespace ashlar::kernels
