// Latent attention: keys and values of heads from latents, the cache of latents, attention over it.
#include "ashlar/kernels/ref/latent.h"

#include "ashlar/kernels/ref/attention.h"
#include "tests/kernels/array.h"
#include "tests/kernels/tier_fixture.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

namespace ashlar::kernels {
namespace {

class LatentTest : public TierTest {};
ASHLAR_TEST_EACH_TIER(LatentTest);

constexpr DType kDTypes[] = {DType::kF32, DType::kBF16, DType::kF16};

struct Heads {
  int64_t tokens, heads, own, shared, value;
};
constexpr Heads kHeads[] = {
    {1, 1, 1, 2, 1}, {7, 3, 9, 8, 17}, {33, 2, 16, 8, 24}, {300, 16, 128, 64, 128}};

TEST_P(LatentTest, KeysAndValuesMatchReference) {
  for (const DType dtype : kDTypes) {
    for (const auto& [tokens, heads, own, shared, value] : kHeads) {
      SCOPED_TRACE(fmt::format("{} {} x {}", name(dtype), tokens, heads));
      const int64_t k_size = tokens * heads * (own + shared), v_size = tokens * heads * value;
      const int64_t kv_size = tokens * heads * (own + value), s_size = tokens * shared;
      const Array kv(dtype, random_values("kv", kv_size)), s(dtype, random_values("s", s_size));
      const Array d_k(dtype, random_values("d_k", k_size)),
          d_v(dtype, random_values("d_v", v_size));
      const auto kv64 = kv.values(), s64 = s.values(), d_k64 = d_k.values(), d_v64 = d_v.values();
      std::vector<double> k64(d_k64.size()), v64(d_v64.size()), d_kv64(kv64.size()),
          d_s64(s64.size());
      ref::latent_keys(
          {tokens, heads, own, shared, value, kv64.data(), s64.data(), k64.data(), v64.data()});
      ref::latent_keys_grad({tokens, heads, own, shared, value, d_k64.data(), d_v64.data(),
                             d_kv64.data(), d_s64.data()});
      for (TestTeam& team : teams()) {
        Array k(dtype, k_size), v(dtype, v_size), d_kv(dtype, kv_size), d_s(dtype, s_size);
        table().latent_keys(
            {tokens, heads, own, shared, value, dtype, kv.data(), s.data(), k.data(), v.data()},
            team.with_scratch());
        table().latent_keys_grad({tokens, heads, own, shared, value, dtype, d_k.data(), d_v.data(),
                                  d_kv.data(), d_s.data()},
                                 team.with_scratch());
        EXPECT_EQ(k.values(), k64);
        EXPECT_EQ(v.values(), v64);
        EXPECT_EQ(d_kv.values(), d_kv64);
        expect_close(d_s, d_s64, "d_shared_key");
      }
    }
  }
}

// Sequences in a cache of latents whose blocks lie in a shuffled order; NaN where nothing is.
class Cache {
 public:
  Cache(std::vector<int32_t> lengths, int64_t latent, int64_t shared, DType dtype)
      : lengths_(std::move(lengths)), latent_(latent), shared_(shared), pool_(dtype, 0) {
    const int32_t longest = *std::max_element(lengths_.begin(), lengths_.end());
    stride_ = (longest + kCacheBlock - 1) / kCacheBlock;
    const int64_t blocks = stride_ * static_cast<int64_t>(lengths_.size());
    pool_ = Array(dtype, blocks * kCacheBlock * width());
    table_.resize(static_cast<size_t>(blocks));
    std::iota(table_.begin(), table_.end(), 0);
    const std::vector<int32_t> keys = random_ids("blocks", blocks, 1 << 30);
    std::sort(table_.begin(), table_.end(), [&](int32_t a, int32_t b) {
      return keys[static_cast<size_t>(a)] < keys[static_cast<size_t>(b)];
    });
  }
  int64_t width() const { return latent_ + shared_; }
  int64_t tokens() const { return std::accumulate(lengths_.begin(), lengths_.end(), int64_t{0}); }
  const std::vector<int32_t>& lengths() const { return lengths_; }
  const Array& pool() const { return pool_; }

  std::vector<int32_t> slots() const {
    std::vector<int32_t> slots;
    for (size_t s = 0; s < lengths_.size(); ++s) {
      for (int32_t i = 0; i < lengths_[s]; ++i) {
        const int32_t block =
            table_[s * static_cast<size_t>(stride_) + static_cast<size_t>(i / 16)];
        slots.push_back(block * static_cast<int32_t>(kCacheBlock) + i % 16);
      }
    }
    return slots;
  }

  void write(const KernelTable& kernels, TestTeam& team, const Array& x, const Array& shared_key) {
    const std::vector<int32_t> at = slots();
    kernels.latent_write({tokens(), latent_, shared_, x.dtype(), x.data(), shared_key.data(),
                          at.data(), pool_.dtype(), pool_.data()},
                         team.with_scratch());
  }

  // Rows from `begin` on of sequence s, whose whole queries are q [T,H,width].
  template <typename Args>
  Args args(int64_t s, int64_t begin, int64_t heads) {
    row_start_ = {0, lengths_[static_cast<size_t>(s)] - static_cast<int32_t>(begin)};
    context_ = {lengths_[static_cast<size_t>(s)]};
    Args args;
    args.mask = {.causal = true, .scale = 0.11f};
    args.tokens = row_start_[1];
    args.seqs = 1;
    args.heads = heads;
    args.kv_heads = 1;
    args.head_dim = width();
    args.value_dim = latent_;
    args.row_start = row_start_.data();
    args.context = context_.data();
    args.block_table = table_.data() + s * stride_;
    args.block_table_stride = stride_;
    args.q_stride = heads * width();
    return args;
  }

  Array attend(const KernelTable& kernels, TestTeam& team, int64_t s, int64_t begin, int64_t heads,
               const Array& q) {
    auto with = args<PagedAttentionArgs>(s, begin, heads);
    const int64_t first =
        std::accumulate(lengths_.begin(), lengths_.begin() + s, int64_t{0}) + begin;
    const Array rows = q.slice(first * heads * width(), with.tokens * heads * width());
    Array out(q.dtype(), with.tokens * heads * latent_);
    with.dtype = q.dtype();
    with.q = rows.data();
    with.pool_dtype = pool_.dtype();
    with.k_pool = pool_.data();
    with.out = out.data();
    kernels.paged_attention(
        with, team.with_scratch(kernels.paged_attention_scratch(with, team.threads())));
    return out;
  }

 private:
  std::vector<int32_t> lengths_;
  int64_t latent_, shared_, stride_ = 0;
  std::vector<int32_t> table_, row_start_, context_;
  Array pool_;
};

struct Case {
  std::vector<int32_t> lengths;
  int64_t heads, latent, shared;
};
std::vector<Case> cases() {
  return {{{1, 17, 33}, 3, 8, 4},  // few rows, a latent that is no whole vector
          {{90, 1}, 4, 48, 16},
          {{70, 40}, 16, 512, 64},  // DeepSeek's
          {{700}, 2, 32, 16},       // two spans
          {{20}, 128, 32, 8}};      // more heads than a tile has rows
}

TEST_P(LatentTest, CacheHoldsRowsRoundedAndAttentionMatchesReference) {
  for (const Case& c : cases()) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      for (const DType pool : kDTypes) {
        if (dtype == DType::kBF16 && pool != dtype) continue;
        SCOPED_TRACE(fmt::format("{} heads, latent {}, {} in {}", c.heads, c.latent, name(dtype),
                                 name(pool)));
        Cache cache(c.lengths, c.latent, c.shared, pool);
        const int64_t tokens = cache.tokens();
        const Array x(dtype, random_values("x", tokens * c.latent));
        const Array s(dtype, random_values("s", tokens * c.shared));
        const Array q(dtype, random_values("q", tokens * c.heads * cache.width()));
        cache.write(table(), teams()[2], x, s);

        const std::vector<double> zeros(static_cast<size_t>(cache.pool().size()), 0.0);
        std::vector<double> rows = zeros;
        const auto x64 = rounded(pool, x.values()), s64 = rounded(pool, s.values());
        const std::vector<int32_t> slots = cache.slots();
        ref::latent_write(
            {tokens, c.latent, c.shared, x64.data(), s64.data(), slots.data(), rows.data()});
        std::vector<double> found = cache.pool().values();
        for (double& value : found) value = value == value ? value : 0;  // nothing else is written
        ASSERT_EQ(found, rows);

        const std::vector<double> q64 = q.values();
        int64_t first = 0;
        for (size_t i = 0; i < c.lengths.size(); ++i) {
          auto wanted = cache.args<ref::PagedAttentionArgs>(static_cast<int64_t>(i), 0, c.heads);
          std::vector<double> out(static_cast<size_t>(wanted.tokens * c.heads * c.latent));
          wanted.q = q64.data() + first * c.heads * cache.width();
          wanted.k_pool = rows.data();
          wanted.out = out.data();
          ref::paged_attention(wanted);
          const Array whole =
              cache.attend(table(), teams()[0], static_cast<int64_t>(i), 0, c.heads, q);
          // As in attention_test.cc, but a score is the sum of up to 576 products.
          expect_close(whole, out, "out", 4);
          first += c.lengths[i];
        }
      }
    }
  }
}

// A row has the bits it has in the whole prompt: as the last of any chunk, on any threads.
TEST_P(LatentTest, BitsDoNotDependOnChunksOrThreads) {
  for (const Case& c : cases()) {
    for (const DType pool : {DType::kF32, DType::kBF16}) {
      Cache cache(c.lengths, c.latent, c.shared, pool);
      const Array x(DType::kF32, random_values("x", cache.tokens() * c.latent));
      const Array s(DType::kF32, random_values("s", cache.tokens() * c.shared));
      const Array q(DType::kF32, random_values("q", cache.tokens() * c.heads * cache.width()));
      cache.write(table(), teams()[0], x, s);
      const Array whole = cache.attend(table(), teams()[0], 0, 0, c.heads, q);
      const int64_t width = c.heads * c.latent, length = c.lengths[0];
      for (TestTeam& team : teams()) {
        for (const int64_t rows : {int64_t{1}, int64_t{7}, int64_t{40}}) {
          if (rows > length) continue;
          const Array part = cache.attend(table(), team, 0, length - rows, c.heads, q);
          EXPECT_EQ(part, whole.slice((length - rows) * width, rows * width))
              << c.heads << " heads, " << rows << " rows, " << team.threads() << " threads";
        }
      }
    }
  }
}

}  // namespace
}  // namespace ashlar::kernels
