#include "ashlar/kernels/table.h"

#include "ashlar/base/cpu.h"
#include "ashlar/base/error.h"

#include <array>
#include <string>

// Each family's source x.kernel.cc, compiled once per tier, defines fill_x in the tier's namespace.
#define ASHLAR_DECLARE_TIER(tier)            \
  namespace ashlar::kernels::tier {          \
  void fill_gemm(KernelTable& table);        \
  void fill_cast(KernelTable& table);        \
  void fill_attention(KernelTable& table);   \
  void fill_norm(KernelTable& table);        \
  void fill_rope(KernelTable& table);        \
  void fill_elementwise(KernelTable& table); \
  void fill_rows(KernelTable& table);        \
  void fill_loss(KernelTable& table);        \
  void fill_optimizer(KernelTable& table);   \
  void fill_column_sum(KernelTable& table);  \
  }

// Families that have not landed leave their entries null.
#if __has_include("ashlar/kernels/gemm.kernel.cc")
#define ASHLAR_FILL_GEMM(tier) tier::fill_gemm(table)
#else
#define ASHLAR_FILL_GEMM(tier)
#endif
#if __has_include("ashlar/kernels/cast.kernel.cc")
#define ASHLAR_FILL_CAST(tier) tier::fill_cast(table)
#else
#define ASHLAR_FILL_CAST(tier)
#endif
#if __has_include("ashlar/kernels/attention.kernel.cc")
#define ASHLAR_FILL_ATTENTION(tier) tier::fill_attention(table)
#else
#define ASHLAR_FILL_ATTENTION(tier)
#endif
#if __has_include("ashlar/kernels/norm.kernel.cc")
#define ASHLAR_FILL_NORM(tier) tier::fill_norm(table)
#else
#define ASHLAR_FILL_NORM(tier)
#endif
#if __has_include("ashlar/kernels/rope.kernel.cc")
#define ASHLAR_FILL_ROPE(tier) tier::fill_rope(table)
#else
#define ASHLAR_FILL_ROPE(tier)
#endif
#if __has_include("ashlar/kernels/elementwise.kernel.cc")
#define ASHLAR_FILL_ELEMENTWISE(tier) tier::fill_elementwise(table)
#else
#define ASHLAR_FILL_ELEMENTWISE(tier)
#endif
#if __has_include("ashlar/kernels/rows.kernel.cc")
#define ASHLAR_FILL_ROWS(tier) tier::fill_rows(table)
#else
#define ASHLAR_FILL_ROWS(tier)
#endif
#if __has_include("ashlar/kernels/loss.kernel.cc")
#define ASHLAR_FILL_LOSS(tier) tier::fill_loss(table)
#else
#define ASHLAR_FILL_LOSS(tier)
#endif
#if __has_include("ashlar/kernels/optimizer.kernel.cc")
#define ASHLAR_FILL_OPTIMIZER(tier) tier::fill_optimizer(table)
#else
#define ASHLAR_FILL_OPTIMIZER(tier)
#endif

#define ASHLAR_FILL_TIER(tier)     \
  [](KernelTable& table) {         \
    ASHLAR_FILL_GEMM(tier);        \
    ASHLAR_FILL_CAST(tier);        \
    ASHLAR_FILL_ATTENTION(tier);   \
    ASHLAR_FILL_NORM(tier);        \
    ASHLAR_FILL_ROPE(tier);        \
    ASHLAR_FILL_ELEMENTWISE(tier); \
    ASHLAR_FILL_ROWS(tier);        \
    ASHLAR_FILL_LOSS(tier);        \
    ASHLAR_FILL_OPTIMIZER(tier);   \
    tier::fill_column_sum(table);  \
    (void)table;                   \
  }

ASHLAR_DECLARE_TIER(scalar)
#if defined(__x86_64__)
ASHLAR_DECLARE_TIER(avx2)
ASHLAR_DECLARE_TIER(avx512_on_avx2)
ASHLAR_DECLARE_TIER(avx512)
ASHLAR_DECLARE_TIER(avx512bf16)
#endif

namespace ashlar::kernels {
namespace {

using Fill = void (*)(KernelTable& table);

Fill fill_of(IsaTier tier) {
  switch (tier) {
#if defined(__x86_64__)
    case IsaTier::kAvx2:
      return ASHLAR_FILL_TIER(avx2);
    case IsaTier::kAvx512OnAvx2:
      return ASHLAR_FILL_TIER(avx512_on_avx2);
    case IsaTier::kAvx512:
      return ASHLAR_FILL_TIER(avx512);
    case IsaTier::kAvx512Bf16:
      return ASHLAR_FILL_TIER(avx512bf16);
#endif
    default:
      return ASHLAR_FILL_TIER(scalar);
  }
}

constexpr size_t kTiers = static_cast<size_t>(IsaTier::kAvx512Bf16) + 1;

std::array<KernelTable, kTiers> make_tables() {
  std::array<KernelTable, kTiers> tables{};
  for (const IsaTier tier : all_isa_tiers()) {
    KernelTable& table = tables[static_cast<size_t>(tier)];
    table.tier = tier;
    fill_of(tier)(table);
  }
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
