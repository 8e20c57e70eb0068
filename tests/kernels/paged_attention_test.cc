// Attention over the paged cache, and writing to it.
#include "tests/kernels/attention_case.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <optional>

namespace ashlar::kernels {
namespace {

class PagedAttention : public TierTest {};
ASHLAR_TEST_EACH_TIER(PagedAttention);

constexpr double kToleranceFactor = 2;  // as in attention_test.cc

// Dropout is for training only; a cache of keys and values has one size for both.
bool is_cached(const AttentionCase& shape) {
  return shape.dropout.rate == 0 && shape.values() == shape.head_dim;
}

// Part of a sequence's rows, at the end of a context.
struct Chunk {
  int64_t seq;
  int64_t begin, end;  // positions
};

// Pools, all NaN until written, with the blocks of the sequences dealt out in a shuffled order.
class Cache {
 public:
  Cache(const AttentionCase& shape, DType dtype)
      : shape_(shape), row_start_(shape.row_start()), blocks_per_seq_(1) {
    for (const int32_t length : shape.lengths) {
      blocks_per_seq_ = std::max(blocks_per_seq_, (length + kCacheBlock - 1) / kCacheBlock);
    }
    const int64_t blocks = blocks_per_seq_ * shape.seqs();
    block_table_.resize(static_cast<size_t>(blocks));
    std::iota(block_table_.begin(), block_table_.end(), 0);
    const std::vector<int32_t> keys = random_ids("blocks", blocks, 1 << 30);
    std::sort(block_table_.begin(), block_table_.end(), [&](int32_t a, int32_t b) {
      return keys[static_cast<size_t>(a)] < keys[static_cast<size_t>(b)];
    });
    const int64_t elements = blocks * shape.kv_heads * shape.head_dim * kCacheBlock;
    k_.emplace(dtype, elements);
    v_.emplace(dtype, elements);
  }

  void write(const KernelTable& table, TestTeam& team, const AttentionInputs& inputs) {
    std::vector<int32_t> slots;
    for (size_t s = 0; s < shape_.lengths.size(); ++s) {
      for (int32_t i = 0; i < shape_.lengths[s]; ++i) {
        const size_t entry = s * static_cast<size_t>(blocks_per_seq_) +
                             static_cast<size_t>(i) / static_cast<size_t>(kCacheBlock);
        slots.push_back(block_table_[entry] * static_cast<int32_t>(kCacheBlock) +
                        i % static_cast<int32_t>(kCacheBlock));
      }
    }
    KvWriteArgs args;
    args.tokens = shape_.tokens();
    args.kv_heads = shape_.kv_heads;
    args.head_dim = shape_.head_dim;
    args.dtype = inputs.qkv.dtype();
    args.k = inputs.k();
    args.v = inputs.v();
    args.k_stride = args.v_stride = shape_.fused_width();
    args.slots = slots.data();
    args.pool_dtype = k_->dtype();
    args.k_pool = k_->data();
    args.v_pool = v_->data();
    table.kv_write(args, team.with_scratch());
  }

  // The rows of the chunks, one after the other.
  Array attend(const KernelTable& table, TestTeam& team, const AttentionInputs& inputs,
               const std::vector<Chunk>& chunks) const {
    std::vector<int32_t> row_start = {0}, context, tables;
    const int64_t width = shape_.fused_width();
    std::vector<double> q;
    const std::vector<double> all = inputs.qkv.values();
    for (const Chunk& chunk : chunks) {
      row_start.push_back(row_start.back() + static_cast<int32_t>(chunk.end - chunk.begin));
      context.push_back(static_cast<int32_t>(chunk.end));
      const auto entry = block_table_.begin() + chunk.seq * blocks_per_seq_;
      tables.insert(tables.end(), entry, entry + blocks_per_seq_);
      const int64_t first = row_start_[static_cast<size_t>(chunk.seq)];
      q.insert(q.end(), all.begin() + (first + chunk.begin) * width,
               all.begin() + (first + chunk.end) * width);
    }
    const Array rows(inputs.qkv.dtype(), q);
    Array out(inputs.qkv.dtype(), row_start.back() * shape_.heads * shape_.head_dim);
    PagedAttentionArgs args;
    args.mask = shape_.mask;
    args.tokens = row_start.back();
    args.seqs = static_cast<int64_t>(chunks.size());
    args.heads = shape_.heads;
    args.kv_heads = shape_.kv_heads;
    args.head_dim = shape_.head_dim;
    args.row_start = row_start.data();
    args.context = context.data();
    args.block_table = tables.data();
    args.block_table_stride = blocks_per_seq_;
    args.dtype = inputs.qkv.dtype();
    args.q = rows.data();
    args.q_stride = width;
    args.pool_dtype = k_->dtype();
    args.k_pool = k_->data();
    args.v_pool = v_->data();
    args.out = out.data();
    table.paged_attention(args,
                          team.with_scratch(table.paged_attention_scratch(args, team.threads())));
    return out;
  }

  Array whole(const KernelTable& table, TestTeam& team, const AttentionInputs& inputs) const {
    std::vector<Chunk> chunks;
    for (int64_t s = 0; s < shape_.seqs(); ++s) {
      chunks.push_back({s, 0, shape_.lengths[static_cast<size_t>(s)]});
    }
    return attend(table, team, inputs, chunks);
  }

  // The whole in pieces of `rows` rows; a call holds one piece of every sequence that has one left.
  void expect_same_in_chunks(const KernelTable& table, TestTeam& team,
                             const AttentionInputs& inputs, int64_t rows,
                             const Array& wanted) const {
    const int64_t longest = *std::max_element(shape_.lengths.begin(), shape_.lengths.end());
    const int64_t width = shape_.heads * shape_.head_dim;
    for (int64_t begin = 0; begin < longest; begin += rows) {
      std::vector<Chunk> chunks;
      for (int64_t s = 0; s < shape_.seqs(); ++s) {
        const int64_t end = std::min<int64_t>(shape_.lengths[static_cast<size_t>(s)], begin + rows);
        if (begin < end) chunks.push_back({s, begin, end});
      }
      const Array found = attend(table, team, inputs, chunks);
      int64_t row = 0;
      for (const Chunk& chunk : chunks) {
        const int64_t first = row_start_[static_cast<size_t>(chunk.seq)] + chunk.begin;
        const int64_t count = chunk.end - chunk.begin;
        ASSERT_EQ(found.slice(row * width, count * width),
                  wanted.slice(first * width, count * width))
            << shape_ << ", sequence " << chunk.seq << ", rows from " << chunk.begin;
        row += count;
      }
    }
  }

  const Array& k() const { return *k_; }
  const Array& v() const { return *v_; }
  const std::vector<int32_t>& block_table() const { return block_table_; }
  int64_t blocks_per_seq() const { return blocks_per_seq_; }

 private:
  AttentionCase shape_;
  std::vector<int32_t> row_start_;
  int64_t blocks_per_seq_;
  std::vector<int32_t> block_table_;  // [S, blocks_per_seq]
  std::optional<Array> k_, v_;
};

constexpr DType kPoolDtypes[] = {DType::kF32, DType::kBF16, DType::kF16};

TEST_P(PagedAttention, WritesRowsToTheirSlotsRounded) {
  const AttentionCase shape{{37, 5}, 3, 3, 20, {}};
  for (const DType dtype : kPoolDtypes) {
    const AttentionInputs inputs(shape, dtype);
    for (const DType pool : kPoolDtypes) {
      Cache cache(shape, pool);
      cache.write(table(), teams()[2], inputs);
      const std::vector<double> qkv = inputs.qkv.values();
      const std::vector<double> k = cache.k().values(), v = cache.v().values();
      const std::vector<int32_t> row_start = shape.row_start();
      std::vector<double> k_found, v_found, k_wanted, v_wanted;
      for (int64_t s = 0; s < shape.seqs(); ++s) {
        for (int64_t i = 0; i < shape.lengths[static_cast<size_t>(s)]; ++i) {
          const int64_t block =
              cache
                  .block_table()[static_cast<size_t>(s * cache.blocks_per_seq() + i / kCacheBlock)];
          for (int64_t h = 0; h < shape.kv_heads; ++h) {
            for (int64_t d = 0; d < shape.head_dim; ++d) {
              const int64_t base = (block * shape.kv_heads + h) * shape.head_dim * kCacheBlock;
              const int64_t row = row_start[static_cast<size_t>(s)] + i;
              const int64_t from =
                  row * shape.fused_width() + (shape.heads + h) * shape.head_dim + d;
              const auto at = [](int64_t index) { return static_cast<size_t>(index); };
              k_found.push_back(k[at(base + d * kCacheBlock + i % kCacheBlock)]);
              v_found.push_back(v[at(base + i % kCacheBlock * shape.head_dim + d)]);
              k_wanted.push_back(qkv[at(from)]);
              v_wanted.push_back(qkv[at(from + shape.kv_heads * shape.head_dim)]);
            }
          }
        }
      }
      EXPECT_EQ(k_found, rounded(pool, k_wanted)) << name(dtype) << " to " << name(pool);
      EXPECT_EQ(v_found, rounded(pool, v_wanted)) << name(dtype) << " to " << name(pool);
      // Nothing else was written.
      const auto written = std::count_if(k.begin(), k.end(), [](double x) { return x == x; });
      EXPECT_EQ(written, static_cast<int64_t>(k_wanted.size()));
    }
  }
}

// With an f32 pool, rows have the very bits of training's forward.
TEST_P(PagedAttention, HasTheBitsOfAttentionOverTheBatch) {
  for (const AttentionExample& example : attention_examples()) {
    if (!is_cached(example.shape)) continue;
    const Array wanted = run_attention(table(), teams()[0], example.shape, example.inputs).out;
    Cache cache(example.shape, DType::kF32);
    cache.write(table(), teams()[0], example.inputs);
    for (TestTeam& team : teams()) {
      EXPECT_EQ(cache.whole(table(), team, example.inputs), wanted) << example;
    }
  }
}

// An example in f32 and its outputs when keys and values, not queries, are rounded to the pool's
// dtype.
struct RoundedExample {
  const AttentionExample* example;
  DType pool;
  std::vector<double> wanted;
};
const std::vector<RoundedExample>& rounded_examples() {
  static const std::vector<RoundedExample> examples = [] {
    std::vector<RoundedExample> made;
    for (const AttentionExample& example : attention_examples()) {
      if (!is_cached(example.shape)) continue;
      if (example.inputs.qkv.dtype() != DType::kF32) continue;
      const AttentionCase& shape = example.shape;
      for (const DType pool : {DType::kBF16, DType::kF16}) {
        AttentionInputs inputs = example.inputs;
        std::vector<double> mixed = inputs.qkv.values();
        const std::vector<double> narrow = rounded(pool, mixed);
        for (int64_t i = 0; i < inputs.qkv.size(); ++i) {
          const bool is_key = i % shape.fused_width() >= shape.heads * shape.head_dim;
          if (is_key) mixed[static_cast<size_t>(i)] = narrow[static_cast<size_t>(i)];
        }
        inputs.qkv = Array(DType::kF32, mixed);
        made.push_back({&example, pool, attention_reference(shape, inputs, {}).out});
      }
    }
    return made;
  }();
  return examples;
}

TEST_P(PagedAttention, MatchesReferenceAfterRoundingKeys) {
  for (const RoundedExample& rounded_example : rounded_examples()) {
    const AttentionExample& example = *rounded_example.example;
    SCOPED_TRACE(testing::Message() << example << ", pool " << name(rounded_example.pool));
    Cache cache(example.shape, rounded_example.pool);
    cache.write(table(), teams()[0], example.inputs);
    const Array found = cache.whole(table(), teams()[0], example.inputs);
    expect_close(found, rounded_example.wanted, "out", kToleranceFactor);
  }
}

// Prefill in chunks of any size, decode (chunks of one row) and any thread count: the same bits.
TEST_P(PagedAttention, BitsDoNotDependOnChunksOrThreads) {
  const std::vector<AttentionCase> shapes = {
      {{90, 0, 33}, 4, 2, 20, {.causal = true, .scale = 0.25f}},
      {{140, 70}, 5, 1, 80, {.causal = true, .window = 67, .scale = 0.1f, .softcap = 5}},
  };
  for (const AttentionCase& shape : shapes) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      const AttentionInputs inputs(shape, dtype);
      for (const DType pool : kPoolDtypes) {
        if (dtype == DType::kBF16 && pool != dtype) continue;
        Cache cache(shape, pool);
        cache.write(table(), teams()[0], inputs);
        const Array wanted = cache.whole(table(), teams()[0], inputs);
        for (const int64_t rows : {1, 7, 16, 100, 512}) {
          cache.expect_same_in_chunks(table(), teams()[static_cast<size_t>(rows % 3)], inputs, rows,
                                      wanted);
        }
      }
    }
  }
}

// 1,300 keys make three spans, which several threads share.
TEST_P(PagedAttention, LongContextsSharedAmongThreadsHaveTheSameBits) {
  for (const int64_t window : {0, 700}) {
    const AttentionCase shape{
        {1300, 600}, 4, 1, 64, {.causal = true, .window = window, .scale = 0.125f}};
    const AttentionInputs inputs(shape, DType::kF32);
    Cache cache(shape, DType::kF32);
    cache.write(table(), teams()[0], inputs);
    const Array training = run_attention(table(), teams()[0], shape, inputs).out;
    const int64_t width = shape.heads * shape.head_dim;
    for (TestTeam& team : teams()) {
      for (const int64_t rows : {1, 3, 40}) {
        const std::vector<Chunk> chunks = {{0, 1300 - rows, 1300}, {1, 600 - rows, 600}};
        const Array found = cache.attend(table(), team, inputs, chunks);
        EXPECT_EQ(found.slice(0, rows * width),
                  training.slice((1300 - rows) * width, rows * width));
        EXPECT_EQ(found.slice(rows * width, rows * width),
                  training.slice((1900 - rows) * width, rows * width));
      }
    }
  }
}

// A step of decoding: tiles of one row, of which a task takes several.
TEST_P(PagedAttention, ShortTilesTakenTogetherHaveTheSameBits) {
  for (const int64_t window : {0, 70}) {
    const AttentionCase shape{
        {90, 33, 5, 140, 64, 1, 200}, 7, 7, 32, {.causal = true, .window = window, .scale = 0.2f}};
    const AttentionInputs inputs(shape, DType::kF32);
    const int64_t width = shape.heads * shape.head_dim;
    for (const DType pool : kPoolDtypes) {
      Cache cache(shape, pool);
      cache.write(table(), teams()[0], inputs);
      const Array all = cache.whole(table(), teams()[0], inputs);
      std::vector<Chunk> last;
      for (int64_t s = 0; s < shape.seqs(); ++s) {
        const int64_t length = shape.lengths[static_cast<size_t>(s)];
        last.push_back({s, length - 1, length});
      }
      for (TestTeam& team : teams()) {
        const Array found = cache.attend(table(), team, inputs, last);
        int64_t end = 0;
        for (int64_t s = 0; s < shape.seqs(); ++s) {
          end += shape.lengths[static_cast<size_t>(s)];
          EXPECT_EQ(found.slice(s * width, width), all.slice((end - 1) * width, width))
              << "sequence " << s << ", window " << window << ", pool " << name(pool);
        }
      }
    }
  }
}

TEST(PagedAttentionTiers, VectorTiersGiveEqualBits) {
  const std::vector<IsaTier> tiers = runnable_vector_tiers();
  if (tiers.empty()) GTEST_SKIP() << "tier avx2 cannot run on this processor";
  TestTeam team(1);
  for (const AttentionExample& example : attention_examples()) {
    if (!is_cached(example.shape)) continue;
    for (const DType pool : kPoolDtypes) {
      const auto run = [&](IsaTier tier) {
        Cache cache(example.shape, pool);
        cache.write(kernel_table(tier), team, example.inputs);
        return cache.whole(kernel_table(tier), team, example.inputs);
      };
      const Array first = run(tiers[0]);
      for (const IsaTier tier : tiers) EXPECT_EQ(run(tier), first) << name(tier) << ": " << example;
    }
  }
}

}  // namespace
}  // namespace ashlar::kernels
