// Blocks, their holders, and the tree of prefixes.
#include "ashlar/generate/kv_pool.h"

#include "ashlar/base/error.h"
#include "ashlar/generate/block_table.h"

#include <gtest/gtest.h>

#include <deque>
#include <numeric>
#include <random>
#include <set>

namespace ashlar::generate {
namespace {

std::vector<int32_t> numbers(int64_t count, int32_t first = 0) {
  std::vector<int32_t> tokens(static_cast<size_t>(count));
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

TEST(KvPool, GivesEachBlockOnceAndTakesItBack) {
  KvPool pool(3);
  std::set<int32_t> taken;
  for (int i = 0; i < 3; ++i) taken.insert(pool.allocate());
  EXPECT_EQ(taken, (std::set<int32_t>{0, 1, 2}));
  EXPECT_EQ(pool.allocate(), -1);
  pool.release(1);
  EXPECT_EQ(pool.free_blocks(), 1);
  EXPECT_EQ(pool.allocate(), 1);
}

TEST(KvPool, KeepsABlockUntilItsLastHolderLets) {
  KvPool pool(1);
  const int32_t block = pool.allocate();
  pool.retain(block);
  pool.release(block);
  EXPECT_EQ(pool.free_blocks(), 0);
  pool.release(block);
  EXPECT_EQ(pool.free_blocks(), 1);
}

TEST(KvPool, RefusesSizesThatMakeNoSense) {
  EXPECT_THROW(KvPool(0), Error);
  EXPECT_THROW(KvPool(int64_t{1} << 40), Error);
}

TEST(BlockTable, SharesFullBlocksOfEqualBeginnings) {
  KvPool pool(8);
  const std::vector<int32_t> tokens = numbers(40);
  BlockTable first(pool, {});
  ASSERT_TRUE(first.grow(40));
  first.publish(tokens, 40);  // two full blocks

  BlockTable second(pool, {});
  EXPECT_EQ(second.reuse(tokens, 39), 32);
  EXPECT_EQ(second.blocks()[0], first.blocks()[0]);
  EXPECT_EQ(second.blocks()[1], first.blocks()[1]);
  EXPECT_EQ(pool.holders(first.blocks()[0]), 2);
  ASSERT_TRUE(second.grow(40));
  EXPECT_NE(second.blocks()[2], first.blocks()[2]);

  std::vector<int32_t> other = tokens;
  other[20] = 99;  // in the second block
  BlockTable third(pool, {});
  EXPECT_EQ(third.reuse(other, 39), 16);
  BlockTable fourth(pool, {});
  EXPECT_EQ(fourth.reuse(tokens, 31), 16) << "a block counts when all of it may be used";
}

TEST(BlockTable, SharesNothingBetweenIdentities) {
  KvPool pool(16);
  const std::vector<int32_t> tokens = numbers(16);
  BlockTable first(pool, {});
  ASSERT_TRUE(first.grow(16));
  first.publish(tokens, 16);
  const CacheIdentity others[] = {{.tenant = 1},
                                  {.weight_version = 1},
                                  {.adapter = 1},
                                  {.dtype = DType::kBF16},
                                  {.position_origin = 16}};
  for (const CacheIdentity& other : others) {
    BlockTable table(pool, other);
    EXPECT_EQ(table.reuse(tokens, 16), 0);
  }
  BlockTable same(pool, {});
  EXPECT_EQ(same.reuse(tokens, 16), 16);
}

TEST(BlockTable, TwoThatComputeTheSameEndUpWithOneBlock) {
  KvPool pool(4);
  const std::vector<int32_t> tokens = numbers(32);
  BlockTable first(pool, {}), second(pool, {});
  ASSERT_TRUE(first.grow(32) && second.grow(32));
  EXPECT_EQ(pool.free_blocks(), 0);
  first.publish(tokens, 32);
  second.publish(tokens, 32);
  EXPECT_TRUE(std::ranges::equal(first.blocks(), second.blocks()));
  EXPECT_EQ(pool.free_blocks(), 2);
}

TEST(BlockTable, ForgetsTheLongestUnusedFirstAndTailsBeforeHeads) {
  KvPool pool(4);
  const std::vector<int32_t> old = numbers(32), recent = numbers(32, 100);
  for (const auto* tokens : {&old, &recent}) {
    BlockTable table(pool, {});
    ASSERT_TRUE(table.grow(32));
    table.publish(*tokens, 32);
  }
  EXPECT_EQ(pool.free_blocks(), 4);
  const int32_t taken = pool.allocate();  // the tail of `old` goes
  BlockTable table(pool, {});
  EXPECT_EQ(table.reuse(recent, 32), 32);
  table.clear();
  EXPECT_EQ(table.reuse(old, 32), 16);
  pool.release(taken);
}

TEST(BlockTable, GrowsAllOrNothing) {
  KvPool pool(3);
  BlockTable table(pool, {});
  EXPECT_FALSE(table.grow(49));
  EXPECT_EQ(pool.free_blocks(), 3);
  EXPECT_TRUE(table.grow(48));
  EXPECT_TRUE(table.grow(10)) << "it has more already";
  EXPECT_EQ(table.blocks().size(), 3u);
}

TEST(BlockTable, AForkCopiesWhatItWritesInto) {
  KvPool pool(6);
  BlockTable first(pool, {});
  ASSERT_TRUE(first.grow(40));
  BlockTable twin = first.fork();
  EXPECT_EQ(pool.free_blocks(), 3);
  std::vector<BlockCopy> copies;
  const int32_t shared = twin.blocks()[2];
  ASSERT_TRUE(twin.own_from(40, copies));  // token 40 goes into the third block
  ASSERT_EQ(copies.size(), 1u);
  EXPECT_EQ(copies[0], (BlockCopy{shared, twin.blocks()[2]}));
  EXPECT_NE(twin.blocks()[2], first.blocks()[2]);
  EXPECT_EQ(twin.blocks()[1], first.blocks()[1]);
  copies.clear();
  ASSERT_TRUE(first.own_from(40, copies));
  EXPECT_TRUE(copies.empty()) << "the first is alone with its block now";
}

TEST(BlockTable, AFindableBlockIsNeverWrittenInto) {
  KvPool pool(2);
  BlockTable table(pool, {});
  ASSERT_TRUE(table.grow(16));
  table.publish(numbers(16), 16);
  const int32_t known = table.blocks()[0];
  std::vector<BlockCopy> copies;
  ASSERT_TRUE(table.own_from(8, copies));
  EXPECT_EQ(copies, (std::vector<BlockCopy>{{known, table.blocks()[0]}}));
  BlockTable other(pool, {});
  EXPECT_EQ(other.reuse(numbers(16), 16), 16);
  EXPECT_EQ(other.blocks()[0], known);
}

TEST(BlockTable, SaysWhenThereIsNoBlockToCopyInto) {
  KvPool pool(1);
  BlockTable table(pool, {});
  ASSERT_TRUE(table.grow(5));
  BlockTable twin = table.fork();
  std::vector<BlockCopy> copies;
  EXPECT_FALSE(twin.own_from(5, copies));
  EXPECT_TRUE(copies.empty());
}

// Random sequences over few tokens, so that they share much: a shared block must hold just the
// tokens its reader expects, and in the end every block is free.
TEST(BlockTable, RandomTrafficNeverMixesPrefixes) {
  std::mt19937 random(5);
  KvPool pool(24);
  std::vector<std::vector<int32_t>> content(24);  // what the blocks would hold
  struct Live {
    BlockTable table;
    std::vector<int32_t> tokens;
  };
  std::deque<Live> live;
  int64_t reused = 0;
  for (int step = 0; step < 4000; ++step) {
    if (live.size() < 5) {
      std::vector<int32_t> tokens(1 + random() % 80);
      for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = i % 16 == 3 ? random() % 2 : 7;
      BlockTable table(pool, {});
      const int64_t known = table.reuse(tokens, static_cast<int64_t>(tokens.size()) - 1);
      reused += known;
      for (int64_t i = 0; i < known; ++i) {
        const auto block = static_cast<size_t>(table.blocks()[static_cast<size_t>(i / 16)]);
        ASSERT_EQ(content[block][static_cast<size_t>(i % 16)], tokens[static_cast<size_t>(i)]);
      }
      if (!table.grow(static_cast<int64_t>(tokens.size()))) continue;
      for (size_t i = static_cast<size_t>(known); i < tokens.size(); ++i) {
        auto& block = content[static_cast<size_t>(table.blocks()[i / 16])];
        block.resize(16);
        block[i % 16] = tokens[i];
      }
      table.publish(tokens, static_cast<int64_t>(tokens.size()));
      live.push_back({std::move(table), std::move(tokens)});
    } else {
      std::swap(live[random() % live.size()], live.back());
      live.pop_back();
    }
  }
  EXPECT_GT(reused, 10000);
  live.clear();
  EXPECT_EQ(pool.free_blocks(), 24);
}

}  // namespace
}  // namespace ashlar::generate
