// One product for each group of rows, each with a matrix of its own: the gemm of the table, group
// by group, so that a row has the bits it has there. Large products are computed by all threads
// one after the other, small ones are dealt out to a thread each.
#pragma once

#include "ashlar/kernels/table.h"

#include <algorithm>

namespace ashlar::kernels {

// Below so many multiply-adds a product takes less time than sharing it out costs.
inline constexpr int64_t kAloneProducts = int64_t{1} << 20;

inline bool computed_alone(const GemmArgs& args) {
  return args.m * args.n * args.r < kAloneProducts;
}

// Bytes of scratch that a thread needs for any product it computes alone.
template <typename F>
int64_t alone_scratch(const KernelTable& table, int64_t rows, const F& product) {
  const GemmArgs one = product(0, 0, 1);
  const int64_t most = std::min(rows, kAloneProducts / std::max<int64_t>(one.m * one.n * one.r, 1));
  if (most == 0) return 0;
  return (table.gemm_scratch(product(0, 0, most), 1) + 63) / 64 * 64;
}

// product(group, first_row, rows) gives the arguments of a group's product; the data may be null
// here. rows: of all groups together at most.
template <typename F>
int64_t grouped_gemm_scratch(const KernelTable& table, int threads, int64_t rows,
                             const F& product) {
  const int64_t together = table.gemm_scratch(product(0, 0, rows), threads);
  return std::max(together, threads * alone_scratch(table, rows, product));
}

// Group g owns rows offsets[g] .. offsets[g+1]; rows as in grouped_gemm_scratch.
template <typename F>
void grouped_gemm(const KernelTable& table, const Team& team, const int32_t* offsets,
                  int64_t groups, int64_t rows, const F& product) {
  const auto of_group = [&](int64_t g) {
    return product(g, offsets[g], offsets[g + 1] - offsets[g]);
  };
  bool any_alone = false;
  for (int64_t g = 0; g < groups; ++g) {
    const GemmArgs args = of_group(g);
    const bool alone = team.threads > 1 && computed_alone(args);
    any_alone = any_alone || alone;
    if (!alone) table.gemm(args, team);
  }
  if (!any_alone) return;
  const int64_t bytes = alone_scratch(table, rows, product);
  parallel_for(team, groups, [&](int64_t g, int thread) {
    const GemmArgs args = of_group(g);
    if (!computed_alone(args)) return;
    table.gemm(args, {.scratch = team.scratch + thread * bytes, .scratch_bytes = bytes});
  });
}

}  // namespace ashlar::kernels
