// A sequence's logits are the same bits alone and in company, in any chunks, on any thread count,
// and with keys that another sequence computed.
#include "tests/generate/feed.h"
#include "tests/generate/random_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <numeric>
#include <random>

namespace ashlar::generate {
namespace {

using testing::Feed;
using testing::random_runner;

std::vector<int32_t> random_tokens(std::mt19937& random, int64_t count, int64_t vocab) {
  std::vector<int32_t> tokens(static_cast<size_t>(count));
  for (int32_t& token : tokens) token = static_cast<int32_t>(random() % static_cast<size_t>(vocab));
  return tokens;
}

uint64_t hash_bits(std::span<const float> row) {
  uint64_t hash = 0;
  for (const float value : row) {
    hash = (hash ^ std::bit_cast<uint32_t>(value)) * 0x9E3779B97F4A7C15ull;
    hash ^= hash >> 29;
  }
  return hash;
}

using RowHashes = std::vector<uint64_t>;  // of the logits after each token

RowHashes run_alone(ModelRunner& runner, const std::vector<int32_t>& tokens) {
  KvPool pool(runner.blocks());
  Feed feed{tokens, BlockTable(pool, {})};
  RowHashes hashes;
  while (feed.left() > 0) {
    const int64_t count = std::min(feed.left(), runner.limits().tokens);
    const SequencePiece piece = feed.piece(count, count);
    const Logits logits = runner.run({&piece, 1});
    for (int64_t i = 0; i < logits.rows; ++i) hashes.push_back(hash_bits(logits.row(i)));
  }
  return hashes;
}

// Runs the pieces and notes each owner's rows.
void run_batch(ModelRunner& runner, std::vector<Feed>& feeds,
               const std::vector<std::pair<size_t, int64_t>>& counts,
               std::vector<RowHashes>& hashes) {
  std::vector<SequencePiece> batch;
  for (const auto& [owner, count] : counts) batch.push_back(feeds[owner].piece(count, count));
  const Logits logits = runner.run(batch);
  int64_t row = 0;
  for (const auto& [owner, count] : counts) {
    for (int64_t i = 0; i < count; ++i) hashes[owner].push_back(hash_bits(logits.row(row++)));
  }
}

// Everyone arrives at a random step; each step takes random chunks of those that are there, in any
// order; the last tokens of all go in one batch.
std::vector<RowHashes> run_together(ModelRunner& runner,
                                    const std::vector<std::vector<int32_t>>& prompts,
                                    uint32_t seed) {
  std::mt19937 random(seed);
  KvPool pool(runner.blocks());
  // Blocks in no order.
  std::vector<int32_t> taken;
  for (int64_t i = 0; i < pool.blocks(); ++i) taken.push_back(pool.allocate());
  std::ranges::shuffle(taken, random);
  for (const int32_t block : taken) pool.release(block);

  std::vector<Feed> feeds;
  std::vector<int> arrives;
  std::vector<size_t> order;
  for (const auto& prompt : prompts) {
    order.push_back(feeds.size());
    feeds.push_back({prompt, BlockTable(pool, {})});
    arrives.push_back(static_cast<int>(random() % 6));
  }
  const auto waiting = [](const Feed& feed) { return feed.left() > 1; };
  std::vector<RowHashes> hashes(prompts.size());
  for (int step = 0; std::ranges::any_of(feeds, waiting); ++step) {
    std::ranges::shuffle(order, random);
    std::vector<std::pair<size_t, int64_t>> counts;
    int64_t room = runner.limits().tokens;
    for (const size_t i : order) {
      if (arrives[i] > step || !waiting(feeds[i]) || room == 0) continue;
      // Short chunks are as frequent as long ones, up to 512.
      const int64_t longest = int64_t{1} << (random() % 10);
      const int64_t chunk = 1 + static_cast<int64_t>(random()) % longest;
      counts.emplace_back(i, std::min({feeds[i].left() - 1, room, chunk}));
      room -= counts.back().second;
    }
    if (!counts.empty()) run_batch(runner, feeds, counts, hashes);
  }
  std::vector<std::pair<size_t, int64_t>> counts;
  for (const size_t i : order) counts.emplace_back(i, 1);
  run_batch(runner, feeds, counts, hashes);
  return hashes;
}

void expect_same_bits_in_any_company(const testing::RandomModelSizes& sizes) {
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kQ8_0, DType::kQ4_0}) {
    ModelOptions options;
    options.limits = {.tokens = 200, .seqs = 8, .outputs = 200};
    options.blocks = 8 * 16;
    options.set_dtype(dtype);
    std::mt19937 random(7);
    std::vector<std::vector<int32_t>> prompts;
    for (int i = 0; i < 8; ++i) prompts.push_back(random_tokens(random, 1 + random() % 255, 97));
    std::vector<RowHashes> wanted;
    for (const int threads : {1, 2, 3}) {
      ThreadPool pool(threads);
      const auto runner = random_runner(sizes, options, pool);
      if (wanted.empty()) {
        for (const auto& prompt : prompts) wanted.push_back(run_alone(*runner, prompt));
      }
      for (uint32_t seed = 0; seed < 4; ++seed) {
        EXPECT_EQ(run_together(*runner, prompts, seed), wanted)
            << name(dtype) << ", " << threads << " threads, seed " << seed;
      }
    }
  }
}

TEST(ModelRunner, AloneInABatchOfEightAndOnAnyThreadCountTheSameBits) {
  expect_same_bits_in_any_company({});
}

// What other sequences send to an expert changes no bit of a row.
TEST(ModelRunner, AMixtureOfExpertsGivesTheSameBitsInAnyCompany) {
  expect_same_bits_in_any_company({.experts = 5});
}

// llama-160m as it is: every width, layer and row of its vocabulary. Alone the long prompt goes in
// a chunk of 512.
TEST(ModelRunner, SameBitsAtTheShapeOfLlama160m) {
  const testing::RandomModelSizes sizes{.width = 768,
                                        .layers = 12,
                                        .heads = 12,
                                        .kv_heads = 12,
                                        .ffn = 3072,
                                        .vocab = 32000,
                                        .max_positions = 2048};
  for (const DType compute : {DType::kF32, DType::kBF16}) {
    ModelOptions options;
    options.limits = {.tokens = 512, .seqs = 8, .outputs = 512, .context = 640};
    options.blocks = 80;
    options.compute = compute;
    options.cache = compute;
    std::mt19937 random(9);
    std::vector<std::vector<int32_t>> prompts;
    for (const int64_t length : {520, 1, 17, 40, 64, 9, 33, 5}) {
      prompts.push_back(random_tokens(random, length, sizes.vocab));
    }
    ThreadPool pool(2);
    const auto runner = random_runner(sizes, options, pool);
    std::vector<RowHashes> wanted;
    for (const auto& prompt : prompts) wanted.push_back(run_alone(*runner, prompt));
    EXPECT_EQ(run_together(*runner, prompts, 1), wanted) << name(compute);
  }
}

TEST(ModelRunner, ReadingSharedBlocksChangesNoBit) {
  ThreadPool threads(2);
  ModelOptions options;
  options.limits = {.tokens = 64, .seqs = 2, .outputs = 64};
  options.blocks = 32;
  const auto runner = random_runner({}, options, threads);
  std::mt19937 random(3);
  const std::vector<int32_t> tokens = random_tokens(random, 60, 97);
  const RowHashes wanted = run_alone(*runner, tokens);

  KvPool pool(runner->blocks());
  Feed first{tokens, BlockTable(pool, {})};
  const SequencePiece whole = first.piece(60, 0);
  runner->run({&whole, 1});
  first.table.publish(tokens, 60);
  Feed second{tokens, BlockTable(pool, {})};
  second.done = second.table.reuse(tokens, 59);
  ASSERT_EQ(second.done, 48);
  const SequencePiece rest = second.piece(12, 12);
  const Logits logits = runner->run({&rest, 1});
  for (int64_t i = 0; i < 12; ++i) {
    EXPECT_EQ(hash_bits(logits.row(i)), wanted[static_cast<size_t>(48 + i)]);
  }
}

TEST(ModelRunner, AForkGoesItsOwnWayFromACopiedBlock) {
  ThreadPool threads(2);
  ModelOptions options;
  options.limits = {.tokens = 64, .seqs = 2, .outputs = 64};
  options.blocks = 32;
  const auto runner = random_runner({}, options, threads);
  std::mt19937 random(4);
  std::vector<int32_t> one = random_tokens(random, 30, 97), other = one;
  for (size_t i = 20; i < 30; ++i) other[i] = (other[i] + 1) % 97;
  const RowHashes wanted_one = run_alone(*runner, one), wanted_other = run_alone(*runner, other);

  KvPool pool(runner->blocks());
  Feed first{one, BlockTable(pool, {})};
  const SequencePiece common = first.piece(20, 0);
  runner->run({&common, 1});
  Feed second{other, first.table.fork(), 20};
  std::vector<BlockCopy> copies;
  ASSERT_TRUE(second.table.own_from(20, copies));
  runner->copy_blocks(copies);
  const SequencePiece both[] = {second.piece(10, 10), first.piece(10, 10)};
  const Logits logits = runner->run(both);
  for (int64_t i = 0; i < 10; ++i) {
    EXPECT_EQ(hash_bits(logits.row(i)), wanted_other[static_cast<size_t>(20 + i)]);
    EXPECT_EQ(hash_bits(logits.row(10 + i)), wanted_one[static_cast<size_t>(20 + i)]);
  }
}

}  // namespace
}  // namespace ashlar::generate
