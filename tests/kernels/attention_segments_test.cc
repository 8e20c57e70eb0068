// Attention where queries and keys are different rows of a sequence: pieces that meet pair by pair,
// in any order, give what the whole gives, forward and backward.
#include "ashlar/kernels/ref/attention.h"
#include "tests/kernels/attention_case.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace ashlar::kernels {
namespace {

constexpr int kPieces = 3;
// The order in which keys come: causal queries of the first piece see nothing at first.
constexpr std::array<int, kPieces> kKeyOrder = {1, 0, 2};

// Sequence positions at which piece `i` begins; odd, and empty for short sequences.
int64_t piece_begin(int64_t length, int i) {
  return std::array<int64_t, kPieces + 1>{0, length * 2 / 7, length * 5 / 8,
                                          length}[static_cast<size_t>(i)];
}

// The pair of query piece and key piece of every sequence. Keys are rows of an array that holds
// those of this piece alone.
std::vector<AttentionSegment> segments_of(const AttentionCase& shape, int query_piece,
                                          int key_piece) {
  std::vector<AttentionSegment> segments;
  int64_t first = 0, key_row = 0;
  for (const int32_t length : shape.lengths) {
    const int64_t begin = piece_begin(length, query_piece);
    const int64_t key_begin = piece_begin(length, key_piece);
    const int64_t key_end = piece_begin(length, key_piece + 1);
    segments.push_back({first + begin, piece_begin(length, query_piece + 1) - begin, begin, key_row,
                        key_begin, key_end, first + begin});
    first += length;
    key_row += key_end - key_begin;
  }
  return segments;
}

// The rows of the batch that a key piece is, in its order.
std::vector<int64_t> key_rows(const AttentionCase& shape, int piece) {
  std::vector<int64_t> rows;
  int64_t first = 0;
  for (const int32_t length : shape.lengths) {
    for (int64_t i = piece_begin(length, piece); i < piece_begin(length, piece + 1); ++i) {
      rows.push_back(first + i);
    }
    first += length;
  }
  return rows;
}

// The elements [begin, begin + width) of some rows of x, each `stride` long.
template <typename T>
std::vector<T> gather(const T* x, int64_t stride, int64_t begin, int64_t width,
                      const std::vector<int64_t>& rows) {
  std::vector<T> gathered;
  for (const int64_t row : rows) {
    const T* from = x + row * stride + begin;
    gathered.insert(gathered.end(), from, from + width);
  }
  return gathered;
}

// Adds rows to those that they are in the batch.
template <typename T>
void scatter_add(const std::vector<T>& part, const std::vector<int64_t>& rows, int64_t width,
                 std::vector<T>& whole) {
  for (size_t i = 0; i < part.size(); ++i) {
    const auto at = static_cast<int64_t>(i);
    whole[static_cast<size_t>(rows[static_cast<size_t>(at / width)] * width + at % width)] +=
        part[i];
  }
}

template <typename Args>
void set_shape(const AttentionCase& shape, const std::vector<AttentionSegment>& segments,
               Args& args) {
  args.mask = shape.mask;
  args.tokens = shape.tokens();
  args.seqs = static_cast<int64_t>(segments.size());
  args.heads = shape.heads;
  args.kv_heads = shape.kv_heads;
  args.head_dim = shape.head_dim;
  args.value_dim = shape.value_dim;
  args.segments = segments.data();
  args.q_stride = shape.fused_width();
  args.k_stride = shape.kv_heads * shape.head_dim;
  args.v_stride = shape.kv_heads * shape.values();
  args.dropout = shape.dropout;
}

int64_t k_width(const AttentionCase& shape) { return shape.kv_heads * shape.head_dim; }
int64_t v_width(const AttentionCase& shape) { return shape.kv_heads * shape.values(); }

// Keys and values of one piece, as their own arrays.
struct Piece {
  Piece(const AttentionExample& example, int piece) : rows(key_rows(example.shape, piece)) {
    const AttentionCase& shape = example.shape;
    const std::vector<double> qkv = example.inputs.qkv.values();
    const int64_t begin = shape.heads * shape.head_dim;
    const auto part = [&](int64_t at, int64_t width) {
      return gather(qkv.data(), shape.fused_width(), at, width, rows);
    };
    k64 = part(begin, k_width(shape));
    v64 = part(begin + k_width(shape), v_width(shape));
    k = Array(example.inputs.qkv.dtype(), k64);
    v = Array(example.inputs.qkv.dtype(), v64);
  }
  std::vector<int64_t> rows;
  std::vector<double> k64, v64;
  Array k{DType::kF32, 0}, v{DType::kF32, 0};
};

AttentionOutputs run_pieces(const KernelTable& table, TestTeam& team,
                            const AttentionExample& example) {
  const AttentionCase& shape = example.shape;
  const auto filled = [&](int64_t width, double value) {
    return Array(DType::kF32,
                 std::vector<double>(static_cast<size_t>(shape.tokens() * width), value));
  };
  AttentionOutputs outputs{filled(shape.heads * shape.values(), 0),
                           filled(shape.heads, -std::numeric_limits<double>::infinity())};
  for (const int key_piece : kKeyOrder) {
    const Piece keys(example, key_piece);
    for (int query_piece = 0; query_piece < kPieces; ++query_piece) {
      const auto segments = segments_of(shape, query_piece, key_piece);
      AttentionArgs args;
      set_shape(shape, segments, args);
      args.dtype = example.inputs.qkv.dtype();
      args.q = example.inputs.q();
      args.k = keys.k.data();
      args.v = keys.v.data();
      args.out = outputs.out.data();
      args.lse = outputs.lse.floats();
      table.attention(args, team.with_scratch(table.attention_scratch(args, team.threads())));
    }
  }
  return outputs;
}

AttentionGradients run_pieces_grad(const KernelTable& table, TestTeam& team,
                                   const AttentionExample& example) {
  const AttentionCase& shape = example.shape;
  const int64_t tokens = shape.tokens(), width = shape.heads * shape.head_dim;
  Array out(example.inputs.qkv.dtype(), example.wanted.out);
  Array lse(DType::kF32, example.wanted.lse);
  Array d_q(DType::kF32, std::vector<double>(static_cast<size_t>(tokens * width)));
  std::vector<double> d_k(static_cast<size_t>(tokens * k_width(shape)));
  std::vector<double> d_v(static_cast<size_t>(tokens * v_width(shape)));
  for (const int key_piece : kKeyOrder) {
    const Piece keys(example, key_piece);
    Array part_k(DType::kF32, std::vector<double>(keys.k64.size()));
    Array part_v(DType::kF32, std::vector<double>(keys.v64.size()));
    for (int query_piece = 0; query_piece < kPieces; ++query_piece) {
      const auto segments = segments_of(shape, query_piece, key_piece);
      AttentionGradArgs args;
      set_shape(shape, segments, args.forward);
      args.forward.dtype = example.inputs.qkv.dtype();
      args.forward.q = example.inputs.q();
      args.forward.k = keys.k.data();
      args.forward.v = keys.v.data();
      args.forward.out = out.data();
      args.forward.lse = lse.floats();
      args.d_out = example.d_out.data();
      args.d_q = d_q.data();
      args.d_k = part_k.data();
      args.d_v = part_v.data();
      table.attention_grad(args,
                           team.with_scratch(table.attention_grad_scratch(args, team.threads())));
    }
    scatter_add(part_k.values(), keys.rows, k_width(shape), d_k);
    scatter_add(part_v.values(), keys.rows, v_width(shape), d_v);
  }
  return {d_q, Array(DType::kF32, d_k), Array(DType::kF32, d_v)};
}

AttentionReference reference_of_pieces(const AttentionExample& example) {
  const AttentionCase& shape = example.shape;
  const std::vector<double> qkv = example.inputs.qkv.values(), d_out = example.d_out.values();
  AttentionReference found;
  found.out.resize(example.wanted.out.size());
  found.lse.resize(example.wanted.lse.size(), -std::numeric_limits<double>::infinity());
  found.d_q.resize(example.wanted.d_q.size());
  found.d_k.resize(example.wanted.d_k.size());
  found.d_v.resize(example.wanted.d_v.size());
  const auto each_pair = [&](auto f) {
    for (const int key_piece : kKeyOrder) {
      const Piece keys(example, key_piece);
      std::vector<double> part_k(keys.k64.size()), part_v(keys.v64.size());
      for (int query_piece = 0; query_piece < kPieces; ++query_piece) {
        const auto segments = segments_of(shape, query_piece, key_piece);
        ref::AttentionArgs args;
        set_shape(shape, segments, args);
        args.q = qkv.data();
        args.k = keys.k64.data();
        args.v = keys.v64.data();
        args.out = found.out.data();
        args.lse = found.lse.data();
        f(args, part_k, part_v);
      }
      scatter_add(part_k, keys.rows, k_width(shape), found.d_k);
      scatter_add(part_v, keys.rows, v_width(shape), found.d_v);
    }
  };
  each_pair([](const ref::AttentionArgs& args, auto&, auto&) { ref::attention(args); });
  std::vector<double> out = rounded(example.inputs.qkv.dtype(), example.wanted.out);
  each_pair([&](ref::AttentionArgs args, auto& d_k, auto& d_v) {
    args.out = out.data();
    ref::attention_grad({args, d_out.data(), found.d_q.data(), d_k.data(), d_v.data()});
  });
  return found;
}

// Relative to the root mean square of all.
void expect_equal(const std::vector<double>& found, const std::vector<double>& wanted,
                  const char* what) {
  double squares = 0;
  for (const double x : wanted) squares += x * x;
  const double bound = 1e-12 * (1 + std::sqrt(squares / static_cast<double>(wanted.size() + 1)));
  for (size_t i = 0; i < wanted.size(); ++i) {
    ASSERT_NEAR(found[i], wanted[i], bound) << what << " " << i;
  }
}

TEST(AttentionSegmentsRef, PiecesGiveWhatTheWholeGives) {
  for (const AttentionExample& example : attention_examples()) {
    SCOPED_TRACE(testing::Message() << example);
    const AttentionReference found = reference_of_pieces(example);
    expect_equal(found.out, example.wanted.out, "out");
    expect_equal(found.lse, example.wanted.lse, "lse");
    expect_equal(found.d_q, example.wanted.d_q, "d_q");
    expect_equal(found.d_k, example.wanted.d_k, "d_k");
    expect_equal(found.d_v, example.wanted.d_v, "d_v");
  }
}

class AttentionSegments : public TierTest {};
ASHLAR_TEST_EACH_TIER(AttentionSegments);

// Those of attention and its gradient, against the same references: pieces add a few roundings, and
// gradients are f32 whatever the dtype of what they are made from.
constexpr double kForwardFactor = 2, kGradFactor = 6;

TEST_P(AttentionSegments, MatchReference) {
  for (const AttentionExample& example : attention_examples()) {
    SCOPED_TRACE(testing::Message() << example);
    const AttentionOutputs found = run_pieces(table(), teams()[0], example);
    expect_close(found.out, example.wanted.out, "out", kForwardFactor);
    expect_close(found.lse, example.wanted.lse, "lse");
    const AttentionGradients gradients = run_pieces_grad(table(), teams()[0], example);
    expect_close(gradients.d_q, example.wanted.d_q, "d_q", kGradFactor);
    expect_close(gradients.d_k, example.wanted.d_k, "d_k", kGradFactor);
    expect_close(gradients.d_v, example.wanted.d_v, "d_v", kGradFactor);
  }
}

TEST_P(AttentionSegments, BitsDoNotDependOnThreads) {
  for (const AttentionExample& example : attention_examples()) {
    const AttentionOutputs alone = run_pieces(table(), teams()[0], example);
    EXPECT_EQ(run_pieces(table(), teams()[2], example), alone) << example;
    const AttentionGradients gradients = run_pieces_grad(table(), teams()[0], example);
    EXPECT_EQ(run_pieces_grad(table(), teams()[1], example), gradients) << example;
    EXPECT_EQ(run_pieces_grad(table(), teams()[2], example), gradients) << example;
  }
}

TEST(AttentionSegmentsTiers, VectorTiersGiveEqualBits) {
  const std::vector<IsaTier> tiers = runnable_vector_tiers();
  if (tiers.empty()) GTEST_SKIP() << "tier avx2 cannot run on this processor";
  TestTeam team(1);
  for (const AttentionExample& example : attention_examples()) {
    const AttentionOutputs first = run_pieces(kernel_table(tiers[0]), team, example);
    const AttentionGradients grads = run_pieces_grad(kernel_table(tiers[0]), team, example);
    for (const IsaTier tier : tiers) {
      EXPECT_EQ(run_pieces(kernel_table(tier), team, example), first)
          << name(tier) << ": " << example;
      EXPECT_EQ(run_pieces_grad(kernel_table(tier), team, example), grads)
          << name(tier) << ": " << example;
    }
  }
}

}  // namespace
}  // namespace ashlar::kernels
