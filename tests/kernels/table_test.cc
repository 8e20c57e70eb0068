#include "ashlar/kernels/table.h"

#include "ashlar/base/error.h"
#include "tests/kernels/tier_fixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace ashlar::kernels {
namespace {

// The function pointers of a table, in the order of its fields.
std::vector<void (*)()> entries(const KernelTable& table) {
  constexpr size_t kFirst = offsetof(KernelTable, packed_b_bytes);
  static_assert((sizeof(KernelTable) - kFirst) % sizeof(void (*)()) == 0);
  std::vector<void (*)()> found((sizeof(KernelTable) - kFirst) / sizeof(void (*)()));
  std::memcpy(found.data(), reinterpret_cast<const std::byte*>(&table) + kFirst,
              sizeof(KernelTable) - kFirst);
  return found;
}

class Table : public TierTest {};
ASHLAR_TEST_EACH_TIER(Table);

TEST_P(Table, EveryEntryIsSet) {
  EXPECT_EQ(table().tier, GetParam());
  EXPECT_THAT(entries(table()), testing::Each(testing::NotNull()));
}

// Tiers of one base differ in products alone (cmake/kernels.cmake).
IsaTier base_of(IsaTier tier) {
  switch (tier) {
    case IsaTier::kAvx512OnAvx2:
      return IsaTier::kAvx2;
    case IsaTier::kAvx512Bf16:
    case IsaTier::kAmxOnAvx512:
    case IsaTier::kAmx:
      return IsaTier::kAvx512;
    default:
      return tier;
  }
}

TEST_P(Table, NoEntryIsAnotherBasesCode) {
  const auto own = entries(table());
  for (const IsaTier other : runnable_isa_tiers()) {
    if (base_of(other) == base_of(GetParam())) continue;
    const auto others = entries(kernel_table(other));
    for (size_t i = 0; i < own.size(); ++i) {
      EXPECT_NE(own[i], others[i]) << "entry " << i << " is that of " << name(other);
    }
  }
}

TEST_P(Table, GemmIsOfTheTierItself) {
  for (const IsaTier other : runnable_isa_tiers()) {
    if (other == GetParam()) continue;
    EXPECT_NE(table().gemm, kernel_table(other).gemm) << name(other);
  }
}

TEST(TableOfATier, IsThereWhereItRunsElseNamesTheTiersThatRun) {
  for (const IsaTier tier : all_isa_tiers()) {
    if (can_run(tier)) {
      EXPECT_NO_THROW(kernel_table(tier)) << name(tier);
      continue;
    }
    try {
      kernel_table(tier);
      ADD_FAILURE() << name(tier) << " cannot run here, yet it has a table";
    } catch (const UsageError& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr(name(tier)));
      EXPECT_THAT(error.what(), testing::HasSubstr("scalar"));
    }
  }
}

}  // namespace
}  // namespace ashlar::kernels
