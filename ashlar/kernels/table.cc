#include "ashlar/kernels/table.h"

#include "ashlar/base/cpu.h"
#include "ashlar/base/error.h"

#include <array>
#include <string>

// Each family's source x.kernel.cc, compiled once per tier, defines fill_x in the tier's namespace.
#define ASHLAR_FILL_TIER(tier)               \
  namespace ashlar::kernels::tier {          \
  void fill_gemm(KernelTable& table);        \
  void fill_quant_mlp(KernelTable& table);   \
  void fill_cast(KernelTable& table);        \
  void fill_attention(KernelTable& table);   \
  void fill_latent(KernelTable& table);      \
  void fill_norm(KernelTable& table);        \
  void fill_column_sum(KernelTable& table);  \
  void fill_rope(KernelTable& table);        \
  void fill_elementwise(KernelTable& table); \
  void fill_rows(KernelTable& table);        \
  void fill_loss(KernelTable& table);        \
  void fill_moe_route(KernelTable& table);   \
  void fill_moe_rows(KernelTable& table);    \
  void fill_optimizer(KernelTable& table);   \
  static void fill(KernelTable& table) {     \
    fill_gemm(table);                        \
    fill_quant_mlp(table);                   \
    fill_cast(table);                        \
    fill_attention(table);                   \
    fill_latent(table);                      \
    fill_norm(table);                        \
    fill_column_sum(table);                  \
    fill_rope(table);                        \
    fill_elementwise(table);                 \
    fill_rows(table);                        \
    fill_loss(table);                        \
    fill_moe_route(table);                   \
    fill_moe_rows(table);                    \
    fill_optimizer(table);                   \
  }                                          \
  }

ASHLAR_FILL_TIER(scalar)
#if defined(__x86_64__)
ASHLAR_FILL_TIER(avx2)
ASHLAR_FILL_TIER(avx512)
// Over the entries of the tier's base (cmake/kernels.cmake).
namespace ashlar::kernels::avx512_on_avx2 {
void fill_gemm(KernelTable& table);
}
namespace ashlar::kernels::avx512bf16 {
void fill_gemm(KernelTable& table);
}
namespace ashlar::kernels::amx_on_avx512 {
void fill_gemm(KernelTable& table);
void fill_quant_mlp(KernelTable& table);
}  // namespace ashlar::kernels::amx_on_avx512
namespace ashlar::kernels::amx {
void fill_gemm(KernelTable& table);
void fill_quant_mlp(KernelTable& table);
}  // namespace ashlar::kernels::amx
#endif

namespace ashlar::kernels {
namespace {

void fill(IsaTier tier, KernelTable& table) {
  table.tier = tier;
  switch (tier) {
#if defined(__x86_64__)
    case IsaTier::kAvx2:
      return avx2::fill(table);
    case IsaTier::kAvx512OnAvx2:
      avx2::fill(table);
      return avx512_on_avx2::fill_gemm(table);
    case IsaTier::kAvx512:
      return avx512::fill(table);
    case IsaTier::kAvx512Bf16:
      avx512::fill(table);
      return avx512bf16::fill_gemm(table);
    case IsaTier::kAmxOnAvx512:
      avx512::fill(table);
      amx_on_avx512::fill_gemm(table);
      return amx_on_avx512::fill_quant_mlp(table);
    case IsaTier::kAmx:
      avx512::fill(table);
      amx::fill_gemm(table);
      return amx::fill_quant_mlp(table);
#endif
    default:
      return scalar::fill(table);
  }
}

constexpr size_t kTiers = static_cast<size_t>(IsaTier::kAmx) + 1;

// Only what runs here: a tier's fill_x is compiled for it too, and may store two entries by one of
// its instructions.
std::array<KernelTable, kTiers> make_tables() {
  std::array<KernelTable, kTiers> tables{};
  for (const IsaTier tier : runnable_isa_tiers()) fill(tier, tables[static_cast<size_t>(tier)]);
  return tables;
}

}  // namespace

const KernelTable& kernel_table(IsaTier tier) {
  static const std::array<KernelTable, kTiers> tables = make_tables();
  if (!can_run(tier)) {
    std::string runnable;
    for (const IsaTier other : runnable_isa_tiers()) {
      runnable += (runnable.empty() ? "" : ", ") + std::string(name(other));
    }
    fail_usage("isa: {} cannot run on this processor; it runs {}", name(tier), runnable);
  }
  return tables[static_cast<size_t>(tier)];
}

}  // namespace ashlar::kernels
