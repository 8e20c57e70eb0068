// Arguments of every kernel: raw pointers, extents and strides in elements. One struct a kernel,
// grouped by family. Shapes are suffixes: T tokens (rows), S sequences, H query heads, K key-value
// heads, D head dim, C width, V vocabulary, N outputs, R reduction length.
//
// The contract that keeps bits independent of batch, tile and thread count ("Decided already" 4 of
// the design) is written at each family. A row's result never depends on the other rows.
#pragma once

#include "ashlar/tensor/dtype.h"

#include <cstdint>

namespace ashlar::kernels {

// kGeluQuick: x sigmoid(1.702 x). kReluSquared: max(x, 0)^2.
enum class Activation : uint8_t {
  kNone,
  kGeluTanh,
  kGeluErf,
  kSilu,
  kRelu,
  kGeluQuick,
  kReluSquared,
  kTanh,
  kSigmoid
};

// ---------------------------------------------------------------- gemm
// C[M,N] = epilogue(A[M,R] B[R,N]), f32 accumulation.
// Contract, but for bf16 by bf16 on tier avx512bf16 (gemm_tile.h) and f32 and bf16 on tier amx
// (amx/tile_registers.h, amx/planes.h; B not packed as f32): element (m,n) of A B is the sum over
// blocks of kGemmBlock consecutive r, in ascending order; within a block acc = fma(a[m,r], b[r,n],
// acc) from 0 in ascending r. The few-row path, the packed path and every tile keep to it, so the
// bits of a row are the same alone or among many.
inline constexpr int64_t kGemmBlock = 256;

// Quantised B (is_block(packed_dtype), which must be packed): A is quantised too, each row in
// super-blocks of kQuantSuper consecutive r (the last one may have fewer): scale_a = max |a| / 127,
// codes = round(a * (127 / max |a|)) to nearest even. B has a scale a super-block as well, and an
// integer multiplier a sub-block: GGUF's own in the K formats; for q8_0 and q4_0, whose blocks have
// f16 scales d, scale_b = max |d| / most and multiplier = round(d / scale_b), with most = 255 and
// 4095. Element (m,n) is one chain from 0 over super-blocks in ascending r: acc = fma(scale_b *
// scale_a, sum of multiplier * code_b * code_a, acc), the sum exact in integers (before it becomes
// a float); formats with minima then add fma(-(minimum_b * scale_a), sum of multiplier * code_a,
// acc). r is a multiple of the format's block. The layout and the bits are the same for few rows
// and many.
inline constexpr int64_t kQuantBlock = 32;
inline constexpr int64_t kQuantSuper = 256;
// The block formats that gemm multiplies.
constexpr bool multiplies(DType format) {
  return format == DType::kQ8_0 || format == DType::kQ4_0 || format == DType::kQ4K ||
         format == DType::kQ6K;
}

inline constexpr int kMostProducts = 4;  // of a group

struct MatrixView {  // element (i, j) at data[i * row_stride + j * col_stride]
  const void* data = nullptr;
  DType dtype = DType::kF32;
  int64_t row_stride = 0;
  int64_t col_stride = 1;
};

// A norm that rows of A go through before they are rounded to bytes, with the bits of NormArgs.
struct RowNorm {
  const float* weight = nullptr;  // [R]; null: no norm
  const float* bias = nullptr;    // [R], layer norm only; may be null
  float eps = 1e-5f;
  float weight_offset = 0;
  bool layer = false;
};

// Order: AB, then + C_old (accumulate), + bias[N], activation (of the sum rounded to C's dtype),
// + residual[M,N], rounding to C.
struct GemmArgs {
  int64_t m = 0, n = 0, r = 0;
  MatrixView a;                    // [M,R] f32 | bf16 | f16
  RowNorm norm;                    // of f32 A by packed B in blocks (multiplies()), elsewhere none
  MatrixView b;                    // [R,N] the same; ignored where B is packed
  bool b_is_packed = false;        // known before there is data, when scratch is planned
  const void* packed_b = nullptr;  // B as pack_b wrote it (same tier)
  // Instead of it, of formats that multiplies(): GGUF's layout of B transposed. Products pack what
  // they need of it, again and again, with the same bits.
  const void* blocks_b = nullptr;
  DType packed_dtype = DType::kF32;  // element type of either
  void* c = nullptr;                 // [M,N] row stride c_stride, f32 | bf16 | f16
  DType c_dtype = DType::kF32;
  int64_t c_stride = 0;
  bool accumulate = false;      // C += AB
  const float* bias = nullptr;  // [N]
  Activation activation = Activation::kNone;
  const void* residual = nullptr;  // [M,N], dtype of C, row stride residual_stride
  int64_t residual_stride = 0;

  void set_packed(const void* data, DType dtype) {
    b_is_packed = true;
    packed_b = data;
    packed_dtype = dtype;
  }
  void set_blocks(const void* data, DType dtype) {
    set_packed(nullptr, dtype);
    blocks_b = data;
  }
};

// ---------------------------------------------------------------- attention
// out[t,h,:] = softmax(scale * q k^T + mask) v, blockwise with a running maximum (FlashAttention-2,
// Dao 2023, algorithm 1), no score matrix in memory. Query head h reads key-value head h / (H / K).
// Contract: keys are read after rounding to the key-value dtype, in blocks of kKeyBlock at fixed
// positions of their sequence (0, 64, 128, ...); a score is one fma chain over ascending d; the
// value sum one fma chain over ascending keys of a block, blocks in ascending order. The running
// maximum starts anew every kKeySpan keys, and spans are merged in ascending order, so that a long
// context can be shared among threads. So a row's bits do not depend on the chunk, the batch,
// paging or the thread count.
inline constexpr int64_t kKeyBlock = 64;
inline constexpr int64_t kKeySpan = 512;  // a multiple of kKeyBlock
// Tokens of one block of the paged key-value cache; divides kKeyBlock.
inline constexpr int64_t kCacheBlock = 16;

struct AttentionMask {
  bool causal = true;
  int64_t window = 0;  // > 0: p sees keys p - window + 1 ... p (not causal: p + window - 1)
  float scale = 1.0f;
  float softcap = 0;  // > 0: scores become softcap * tanh(score / softcap)
  // ALiBi (Press et al. 2022), one for each query head here: a score of the key at position j and
  // the query at p becomes fma(slope, j - p, score), behind the cap. Null: none.
  const float* slopes = nullptr;
  // > 0: Falcon's ALiBi, rounded on the way: bf16_bias * (bf16(slope * j) - bf16(slope * p)).
  float bf16_bias = 0;
};

// Dropout of probabilities, in training: out is the sum over keys of p mask / (1 - rate) v, while
// the softmax's sum and lse are those of all keys. Query head h of token t keeps key j when word
// j % 4 of philox4x32(key, {j / 4, h, t, step}) >= rate * 2^32, where j counts from the first row
// of the sequence, h from the model's first head and t from the first token of the global batch;
// all four are below 2^32. So a mask is the same however a batch is split, tiled or computed again.
struct AttentionDropout {
  float rate = 0;  // below 1; 0: keeps all
  uint64_t key = 0, step = 0;
  uint64_t first_token = 0;  // t of row 0
  int64_t first_head = 0;    // h of head 0
};

// Where ranks share a sequence: some of its rows as queries, against some of its rows as keys. What
// a query sees, key blocks and dropout go by positions in the sequence, so they are those of one
// rank with all keys.
struct AttentionSegment {
  int64_t query_row = 0, queries = 0;  // rows of q, out and lse
  int64_t query_position = 0;          // of the first of them
  int64_t key_row = 0;                 // row of k and v of the first key
  int64_t key_begin = 0, key_end = 0;  // positions of the keys
  int64_t token = 0;                   // t of the first query, from AttentionDropout's first_token
};

// Sequences of a batch laid end to end: sequence s owns rows row_start[s] .. row_start[s+1] of q.
// In training its keys are the same rows, so packed documents are simply sequences.
// With segments, out and lse are softmax over some keys at first (none: 0 and minus infinity) and
// over these too afterwards (the merge by log-sum-exp of Ring Attention, Liu et al. 2023).
struct AttentionArgs {
  AttentionMask mask;
  int64_t tokens = 0, seqs = 0;
  int64_t heads = 0, kv_heads = 0, head_dim = 0;
  int64_t value_dim = 0;                       // E; 0: D
  const int32_t* row_start = nullptr;          // [S+1]
  const AttentionSegment* segments = nullptr;  // [S] instead, if set; no row of q, k in two
  DType dtype = DType::kF32;                   // of q, k, v, and out, which is f32 with segments
  const void* q = nullptr;                     // [T,H,D], row stride q_stride
  const void* k = nullptr;                     // [T,K,D]
  const void* v = nullptr;                     // [T,K,E]
  int64_t q_stride = 0, k_stride = 0, v_stride = 0;
  AttentionDropout dropout;
  void* out = nullptr;   // [T,H,E] contiguous
  float* lse = nullptr;  // [T,H] log-sum-exp of the scores; may be null

  int64_t values() const { return value_dim > 0 ? value_dim : head_dim; }
};

// With segments, d_q, d_k and d_v are f32 and what these pairs give is added to them; out (of
// `dtype` here) and lse are those over all keys.
struct AttentionGradArgs {
  AttentionArgs forward;        // as in forward; out and lse are inputs here
  const void* d_out = nullptr;  // [T,H,E]
  void* d_q = nullptr;          // [T,H,D] contiguous
  void* d_k = nullptr;          // [T,K,D] contiguous
  void* d_v = nullptr;          // [T,K,E] contiguous
};

// The cache of one layer: k_pool [blocks][K][D][kCacheBlock] (transposed, so that one vector holds
// 16 keys), v_pool [blocks][K][kCacheBlock][D].
struct KvWriteArgs {
  int64_t tokens = 0, kv_heads = 0, head_dim = 0;
  DType dtype = DType::kF32;  // of k and v
  const void* k = nullptr;    // [T,K,D], row stride k_stride
  const void* v = nullptr;
  int64_t k_stride = 0, v_stride = 0;
  const int32_t* slots = nullptr;  // [T] block * kCacheBlock + offset
  DType pool_dtype = DType::kF32;  // f32 | bf16 | f16
  void* k_pool = nullptr;
  void* v_pool = nullptr;
};

// Where v_pool is null, k_pool is [blocks][kCacheBlock][D], the keys of one head in rows, of which
// the first E elements are the values too (latent attention, latent_args.h); else E is D.
struct PagedAttentionArgs {
  AttentionMask mask;
  int64_t tokens = 0, seqs = 0;
  int64_t heads = 0, kv_heads = 0, head_dim = 0;
  int64_t value_dim = 0;                 // E; 0: D
  const int32_t* row_start = nullptr;    // [S+1] rows of q of each sequence
  const int32_t* context = nullptr;      // [S] keys of the sequence, its new rows included: row i
                                         // of n new rows stands at position context - n + i
  const int32_t* block_table = nullptr;  // [S, block_table_stride]
  int64_t block_table_stride = 0;
  DType dtype = DType::kF32;  // of q and out
  const void* q = nullptr;    // [T,H,D], row stride q_stride
  int64_t q_stride = 0;
  DType pool_dtype = DType::kF32;
  const void* k_pool = nullptr;
  const void* v_pool = nullptr;
  void* out = nullptr;  // [T,H,E] contiguous

  int64_t values() const { return value_dim > 0 ? value_dim : head_dim; }
};

// ---------------------------------------------------------------- norms
// Contract of row reductions (norms, softmax sums): lane j of 16 adds elements j, j+16, ... in
// ascending order; lanes are added as a tree: j with j+8, j+4, j+2, j+1.
// rms: y = x * rsqrt(mean(x^2) + eps) * w.  layer: y = (x - mean) * rsqrt(var + eps) * w + b.
// w = weight + weight_offset. Rows take the weight's rows in turn (norms of single heads): row t
// has w and b of row t % weight_rows. With `squares`, rows are parts of longer ones (ranks share
// heads): sums of squares of all of a row's `whole` columns are given.
struct NormArgs {
  int64_t rows = 0, width = 0;
  int64_t weight_rows = 1;  // divides rows
  float eps = 1e-5f;
  float weight_offset = 0;
  DType dtype = DType::kF32;       // of x and y
  const void* x = nullptr;         // [T,C]
  const float* weight = nullptr;   // [weight_rows,C]
  const float* bias = nullptr;     // the same, layer norm only; may be null
  void* y = nullptr;               // [T,C]
  float* rstd = nullptr;           // [T]; may be null when nothing is differentiated
  float* mean = nullptr;           // [T], layer norm only
  const float* squares = nullptr;  // [T], rms only; may be null
  int64_t whole = 0;
};
struct NormGradArgs {
  int64_t rows = 0, width = 0;
  int64_t weight_rows = 1;
  float weight_offset = 0;
  DType dtype = DType::kF32;  // of x, d_y, d_x
  const void* x = nullptr;
  const float* weight = nullptr;
  const float* rstd = nullptr;
  const float* mean = nullptr;  // null: rms
  const void* d_y = nullptr;
  const void* residual_grad = nullptr;  // [T,C]; added to d_x when set
  void* d_x = nullptr;                  // null: skip
  const float* products = nullptr;      // [T], rms only: sums of d_y w x over `whole` columns
  int64_t whole = 0;
};
// sums[t] = sum of a[t,c] b[t,c], or of a[t,c] b[t,c] (weight[c] + weight_offset).
struct RowDotArgs {
  int64_t rows = 0, width = 0;
  float weight_offset = 0;
  DType dtype = DType::kF32;      // of a and b
  const void* a = nullptr;        // [T,C]
  const void* b = nullptr;        // [T,C]
  const float* weight = nullptr;  // [C]; may be null
  float* sums = nullptr;          // [T]
};
// d_weight[c] and d_bias[c] are each one chain over ascending rows (fma(d_y, z, sum), d_y + sum),
// from 0 or, with accumulate, from what is there: two calls over the halves of a batch give the
// bits of one call over all of it. Columns are split among threads.
struct NormWeightGradArgs {
  int64_t rows = 0, width = 0;
  int64_t weight_rows = 1;
  DType dtype = DType::kF32;
  const void* x = nullptr;
  const float* rstd = nullptr;
  const float* mean = nullptr;  // null: rms
  const void* d_y = nullptr;
  float* d_weight = nullptr;  // [weight_rows,C]
  float* d_bias = nullptr;    // the same; may be null
  bool accumulate = false;
};

// sum[c] over ascending rows, the contract of norm_weight_grad: the gradient of a bias.
struct ColumnSumArgs {
  int64_t rows = 0, width = 0;
  DType dtype = DType::kF32;
  const void* x = nullptr;  // [T,C]
  float* sum = nullptr;     // [C]
  bool accumulate = false;
};

// ---------------------------------------------------------------- rotary positions
// Rotates pairs of the rotary_dim channels of x[t,h,:] from rotary_begin on by the angle of
// positions[t]; table is [P, rotary_dim] f32: rotary_dim/2 cosines, then rotary_dim/2 sines.
// interleaved: pairs (2i, 2i+1), else (i, i+half). inverse: rotates back (the gradient). The other
// channels are copied. y may be x.
struct RopeArgs {
  int64_t tokens = 0, heads = 0, head_dim = 0, rotary_begin = 0, rotary_dim = 0;
  DType dtype = DType::kF32;
  const void* x = nullptr;  // [T,H,D], row stride x_stride
  int64_t x_stride = 0;
  const int32_t* positions = nullptr;  // [T]
  const float* table = nullptr;
  void* y = nullptr;  // [T,H,D] contiguous
  bool interleaved = false;
  bool inverse = false;
};

// ---------------------------------------------------------------- elementwise
struct ActivationArgs {  // y = f(x)
  int64_t elements = 0;
  Activation activation = Activation::kGeluTanh;
  DType dtype = DType::kF32;
  const void* x = nullptr;
  void* y = nullptr;
};
struct ActivationGradArgs {  // d_x = d_y f'(x)
  int64_t elements = 0;
  Activation activation = Activation::kGeluTanh;
  DType dtype = DType::kF32;
  const void* x = nullptr;
  const void* d_y = nullptr;
  void* d_x = nullptr;
};
// out = f(gate) * up (swiglu: f = silu). Rows with strides, so gate and up may be the halves of one
// matrix.
struct GatedArgs {
  int64_t rows = 0, width = 0;
  Activation activation = Activation::kSilu;
  DType dtype = DType::kF32;
  const void* gate = nullptr;  // [T,C]
  const void* up = nullptr;    // [T,C]
  int64_t gate_stride = 0, up_stride = 0;
  void* out = nullptr;  // [T,C] contiguous
};
struct GatedGradArgs {
  GatedArgs forward;            // out unused
  const void* d_out = nullptr;  // [T,C] contiguous
  void* d_gate = nullptr;       // [T,C] contiguous
  void* d_up = nullptr;         // [T,C] contiguous
};
struct AddArgs {  // y = a + b; y may be a or b
  int64_t elements = 0;
  DType dtype = DType::kF32;
  const void* a = nullptr;
  const void* b = nullptr;
  void* y = nullptr;
};
struct AddTermArgs {  // sum = sum + term, or term where it begins, rounded to nearest even
  int64_t elements = 0;
  const float* term = nullptr;
  DType sum_dtype = DType::kF32;  // or bf16, f16
  void* sum = nullptr;
  bool begins = false;
};
struct ScaleArgs {  // y = factor x; y may be x
  int64_t elements = 0;
  DType dtype = DType::kF32;
  float factor = 1;
  const void* x = nullptr;
  void* y = nullptr;
};
struct SoftcapArgs {  // y = cap tanh(x / cap); y may be x
  int64_t elements = 0;
  DType dtype = DType::kF32;
  float cap = 0;
  const void* x = nullptr;
  void* y = nullptr;
};
struct SoftcapGradArgs {  // d_x = d_y (1 - (y / cap)^2); d_x may be d_y
  int64_t elements = 0;
  DType dtype = DType::kF32;
  float cap = 0;
  const void* y = nullptr;
  const void* d_y = nullptr;
  void* d_x = nullptr;
};
struct CastArgs {  // f32, bf16, f16 to one another, rounding to nearest even
  int64_t elements = 0;
  DType from = DType::kF32, to = DType::kF32;
  const void* x = nullptr;
  void* y = nullptr;
};
// y = x * mask / (1 - rate); element i (global index first_element + i) is kept when word i % 4 of
// philox4x32(key, {i/4 low, i/4 high, step low, step high}) >= rate * 2^32; a dropped one is +0,
// NaN and infinities too. Its own gradient.
struct DropoutArgs {
  int64_t elements = 0;
  DType dtype = DType::kF32;
  float rate = 0;
  uint64_t key = 0, step = 0, first_element = 0;
  const void* x = nullptr;
  void* y = nullptr;
};

// ---------------------------------------------------------------- rows by index
// y[t] = table[ids[t] - first_row] (+ y_add[t] when set). The table may be a slice of a larger one,
// its rows from first_row on: an id outside it names a row of zeros, and is skipped when adding.
// Below 0, rows in front that no id names. Ids are in
// the range of the larger one: checked before the Program runs.
struct GatherRowsArgs {
  int64_t rows = 0, width = 0, table_rows = 0, first_row = 0;
  DType table_dtype = DType::kF32, dtype = DType::kF32;
  const void* table = nullptr;   // [V,C]
  const int32_t* ids = nullptr;  // [T]
  const void* add = nullptr;     // [T,C] dtype; may be null
  void* y = nullptr;             // [T,C]
};
// d_table[ids[t]] += d_y[t] in ascending t (bits do not depend on threads: columns are split).
// accumulate = false clears the table first.
struct ScatterAddRowsArgs {
  int64_t rows = 0, width = 0, table_rows = 0, first_row = 0;
  DType dtype = DType::kF32;  // of d_y
  const int32_t* ids = nullptr;
  const void* d_y = nullptr;  // [T,C]
  DType table_dtype = DType::kF32;
  void* d_table = nullptr;  // [V,C]
  bool accumulate = true;
};

// ---------------------------------------------------------------- loss
// Cross-entropy of logits[t,:] against target[t]; target < 0 is not counted. Logits are overwritten
// with d_logits = (softmax - onehot) * scale when gradient is set: f32, or rounded to bf16, then V
// of them from where the row of f32 began. Loss is per row; the sum over rows is taken in ascending
// order in f64 by the op.
// Contract: the sum of exp(logit - highest) goes through blocks of kLossBlock logits in ascending
// order; a block that raises `highest` first scales the 16 lane sums by exp(old - new), then each
// lane adds as in the row contract. A NaN or +inf among the logits, or no logit above -inf, gives a
// NaN loss.
inline constexpr int64_t kLossBlock = 1024;
struct CrossEntropyArgs {
  int64_t rows = 0, vocab = 0;
  float* logits = nullptr;  // [T,V] f32, row stride logits_stride
  int64_t logits_stride = 0;
  const int32_t* targets = nullptr;  // [T]
  float scale = 1;                   // 1 / valid tokens of the global batch
  float softcap = 0;                 // > 0: a logit counts as softcap * tanh(logit / softcap)
  bool gradient = false;
  float* loss = nullptr;               // [T] -log softmax(logits)[target], 0 where not counted
  float* lse = nullptr;                // [T]; may be null
  DType gradient_dtype = DType::kF32;  // or bf16
};

// The same where each rank has the logits of a slice of the vocabulary, from `first` on. Three
// steps, between which the ranks bring their rows together; on one rank they give the bits of the
// above.
//   1  highest = the slice's maximum, sum = the sum of exp(logit - highest)
//      (max over the ranks: highest_of_all)
//   2  sum *= exp(highest - highest_of_all); target = logits[target] - highest_of_all where the
//   slice
//      has the target, else 0
//      (sum over the ranks: sum, target)
//   3  loss = log(sum) - target; logits as above when gradient is set
struct CrossEntropySliceArgs {
  int64_t rows = 0, vocab = 0, first = 0;
  float* logits = nullptr;  // [T,V] f32, row stride logits_stride
  int64_t logits_stride = 0;
  const int32_t* targets = nullptr;  // [T], of the whole vocabulary
  float scale = 1;
  float softcap = 0;  // step 1 leaves capped logits behind
  bool gradient = false;
  float *highest = nullptr, *highest_of_all = nullptr, *sum = nullptr, *target = nullptr;  // [T]
  float* loss = nullptr;                                                                   // [T]
  DType gradient_dtype = DType::kF32;  // or bf16
};

// ---------------------------------------------------------------- optimizers
// Decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2), one pass. A bf16 parameter that
// has no f32 master is rounded to nearest even, or up with the probability of what is cut off
// (`stochastic`): an element draws the low 16 bits of the word of its index in the Philox stream
// `key` at the step. Of a part, that is the index in the whole: there the elements are runs of
// `run` (0: all of them are one), `stride` from one to the next, from first_element on.
struct AdamWArgs {
  int64_t elements = 0;
  DType param_dtype = DType::kF32;  // or bf16
  void* param = nullptr;
  float* m = nullptr;
  float* v = nullptr;
  DType grad_dtype = DType::kF32;  // or bf16
  const void* grad = nullptr;
  DType shadow_dtype = DType::kBF16;  // or f16
  void* shadow = nullptr;             // rounded copy for compute; may be null
  bool stochastic = false;
  uint64_t key = 0, step = 0;
  int64_t first_element = 0, run = 0, stride = 0;
  float grad_scale = 1;  // clipping coefficient
  float lr = 0, beta1 = 0.9f, beta2 = 0.95f, eps = 1e-8f, weight_decay = 0;
  float bias_correction1 = 1, bias_correction2 = 1;  // 1 - beta^step
};
// Sum of squares in f64: blocks of kNormBlock elements, each by the row-reduction contract in f64
// lanes, blocks added in ascending order.
inline constexpr int64_t kNormBlock = 4096;
struct SumSquaresArgs {
  int64_t elements = 0;
  const void* x = nullptr;
  double* sum = nullptr;      // written
  DType dtype = DType::kF32;  // or bf16
};

}  // namespace ashlar::kernels
