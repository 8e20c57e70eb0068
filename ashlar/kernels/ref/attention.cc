#include "ashlar/kernels/ref/attention.h"

#include "ashlar/base/philox.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace ashlar::kernels::ref {
namespace {

struct Keys {  // those a query sees: [begin, end)
  int64_t begin, end;
};

// Of the keys that are present.
Keys visible_keys(const AttentionMask& mask, int64_t position, Keys present) {
  const auto [first, last] = present;
  const bool bounded = mask.causal || mask.window > 0;
  return {mask.window > 0 ? std::clamp(position - mask.window + 1, first, last) : first,
          bounded ? std::clamp(position + (mask.causal ? 1 : mask.window), first, last) : last};
}

double dot(const double* a, const double* b, int64_t n, int64_t b_step = 1) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i * b_step];
  return sum;
}

double capped(const AttentionMask& mask, double score) {
  score *= mask.scale;
  return mask.softcap > 0 ? mask.softcap * std::tanh(score / mask.softcap) : score;
}

// d capped(x) / dx, from the capped score.
double capped_grad(const AttentionMask& mask, double score) {
  const double t = mask.softcap > 0 ? score / mask.softcap : 0;
  return mask.scale * (1 - t * t);
}

// What ALiBi adds, for the head, the query's position and the key's.
double alibi(const AttentionMask& mask, int64_t head, int64_t position, int64_t key) {
  if (mask.slopes == nullptr) return 0;
  if (mask.bf16_bias > 0) {
    const auto rounded = [&](int64_t at) {
      return static_cast<double>(to_float(to_bf16(mask.slopes[head] * static_cast<float>(at))));
    };
    return static_cast<double>(mask.bf16_bias) * (rounded(key) - rounded(position));
  }
  return static_cast<double>(mask.slopes[head]) * static_cast<double>(key - position);
}

double log_sum_exp(const std::vector<double>& scores) {
  double largest = -std::numeric_limits<double>::infinity();
  for (const double score : scores) largest = std::max(largest, score);
  double sum = 0;
  for (const double score : scores) sum += std::exp(score - largest);
  return largest + std::log(sum);
}

// mask / (1 - rate) of key j for query head h of row t.
double passed(const AttentionDropout& dropout, int64_t t, int64_t h, int64_t j) {
  if (dropout.rate == 0) return 1;
  const double rate = dropout.rate;
  const PhiloxBlock words = philox4x32(
      dropout.key, {static_cast<uint32_t>(j / 4),  //
                    static_cast<uint32_t>(dropout.first_head + h),
                    static_cast<uint32_t>(dropout.first_token + static_cast<uint64_t>(t)),
                    static_cast<uint32_t>(dropout.step)});
  return words[static_cast<size_t>(j % 4)] >= rate * 0x1p32 ? 1 / (1 - rate) : 0;
}

// out[d] = sum over keys of factor softmax(scores) v; value(key, d) reads v, factor(key) is what
// dropout makes of a probability. Returns the log-sum-exp.
template <typename Value, typename Factor>
double weigh_values(const std::vector<double>& scores, int64_t head_dim, Value value, Factor factor,
                    double* out) {
  const double lse = log_sum_exp(scores);
  std::fill_n(out, head_dim, 0.0);
  for (size_t j = 0; j < scores.size(); ++j) {
    const auto key = static_cast<int64_t>(j);
    const double p = std::exp(scores[j] - lse) * factor(key);
    for (int64_t d = 0; d < head_dim; ++d) out[d] += p * value(key, d);
  }
  return lse;
}

AttentionSegment segment_of(const AttentionArgs& args, int64_t s) {
  if (args.segments != nullptr) return args.segments[s];
  const int64_t first = args.row_start[s], rows = args.row_start[s + 1] - first;
  return {first, rows, 0, first, 0, rows, first};
}

struct Query {
  int64_t row, head;
  int64_t token;      // from dropout's first_token
  int64_t position;   // in its sequence
  Keys keys;          // positions of those that it sees
  int64_t first_key;  // row of the key at position 0, which may be on another rank
};
template <typename F>
void for_each_query(const AttentionArgs& args, F f) {
  for (int64_t s = 0; s < args.seqs; ++s) {
    const AttentionSegment segment = segment_of(args, s);
    for (int64_t i = 0; i < segment.queries; ++i) {
      const Keys keys =
          visible_keys(args.mask, segment.query_position + i, {segment.key_begin, segment.key_end});
      for (int64_t h = 0; h < args.heads; ++h) {
        f(Query{segment.query_row + i, h, segment.token + i, segment.query_position + i, keys,
                segment.key_row - segment.key_begin});
      }
    }
  }
}

// out [D] and lse over some keys become those over these too (Ring Attention, Liu et al. 2023).
void merge(const double* more, double more_lse, int64_t head_dim, double* out, double& lse) {
  const double both = log_sum_exp({lse, more_lse});
  const double keep = std::exp(lse - both), add = std::exp(more_lse - both);
  for (int64_t d = 0; d < head_dim; ++d) out[d] = keep * out[d] + add * more[d];
  lse = both;
}

}  // namespace

void attention(const AttentionArgs& args) {
  const int64_t D = args.head_dim, E = args.values();
  const int64_t group = args.heads / args.kv_heads;
  std::vector<double> out(static_cast<size_t>(E));
  for_each_query(args, [&](const Query& query) {
    const auto [t, h, token, position, keys, first_key] = query;
    double* to = args.out + (t * args.heads + h) * E;
    double* lse = args.lse == nullptr ? nullptr : args.lse + t * args.heads + h;
    if (keys.begin == keys.end) return;  // of a segment
    const double* q = args.q + t * args.q_stride + h * D;
    const double* k = args.k + (first_key + keys.begin) * args.k_stride + h / group * D;
    const double* v = args.v + (first_key + keys.begin) * args.v_stride + h / group * E;
    std::vector<double> scores;
    for (int64_t j = 0; j < keys.end - keys.begin; ++j) {
      scores.push_back(capped(args.mask, dot(q, k + j * args.k_stride, D)) +
                       alibi(args.mask, h, position, keys.begin + j));
    }
    const auto value = [&, stride = args.v_stride](int64_t j, int64_t d) {
      return v[j * stride + d];
    };
    const auto factor = [&, at = query](int64_t j) {
      return passed(args.dropout, at.token, at.head, at.keys.begin + j);
    };
    const double found =
        weigh_values(scores, E, value, factor, args.segments != nullptr ? out.data() : to);
    if (args.segments != nullptr) {
      merge(out.data(), found, E, to, *lse);
    } else if (lse != nullptr) {
      *lse = found;
    }
  });
}

// With p = exp(score - lse) and delta = d_out . out:
//   d_v += m p d_out,  d_score = p (m d_out . v - delta),  d_q += d_score k,  d_k += d_score q,
// where m = mask / (1 - rate) of dropout. With segments, gradients start from what is there.
void attention_grad(const AttentionGradArgs& args) {
  const AttentionArgs& forward = args.forward;
  const int64_t D = forward.head_dim, E = forward.values();
  const int64_t group = forward.heads / forward.kv_heads;
  if (forward.segments == nullptr) {
    std::fill_n(args.d_q, forward.tokens * forward.heads * D, 0.0);
    std::fill_n(args.d_k, forward.tokens * forward.kv_heads * D, 0.0);
    std::fill_n(args.d_v, forward.tokens * forward.kv_heads * E, 0.0);
  }
  for_each_query(forward, [&](const Query& query) {
    const auto [t, h, token, position, keys, first_key] = query;
    const int64_t row = (t * forward.heads + h) * D;
    const double* q = forward.q + t * forward.q_stride + h * D;
    const int64_t out_row = (t * forward.heads + h) * E;
    const double* d_out = args.d_out + out_row;
    const double delta = dot(d_out, forward.out + out_row, E);
    for (int64_t j = first_key + keys.begin; j < first_key + keys.end; ++j) {
      const double* k = forward.k + j * forward.k_stride + h / group * D;
      const double* v = forward.v + j * forward.v_stride + h / group * E;
      const double score = capped(forward.mask, dot(q, k, D));
      const double bias = alibi(forward.mask, h, position, j - first_key);
      const double p = std::exp(score + bias - forward.lse[t * forward.heads + h]);
      const double m = passed(forward.dropout, token, h, j - first_key);
      const double d_dot = p * (m * dot(d_out, v, E) - delta) * capped_grad(forward.mask, score);
      const int64_t kv_head = j * forward.kv_heads + h / group;
      for (int64_t d = 0; d < E; ++d) args.d_v[kv_head * E + d] += m * p * d_out[d];
      for (int64_t d = 0; d < D; ++d) {
        args.d_k[kv_head * D + d] += d_dot * q[d];
        args.d_q[row + d] += d_dot * k[d];
      }
    }
  });
}

void kv_write(const KvWriteArgs& args) {
  const int64_t D = args.head_dim;
  for (int64_t t = 0; t < args.tokens; ++t) {
    const int64_t block = args.slots[t] / kCacheBlock;
    const int64_t offset = args.slots[t] % kCacheBlock;
    for (int64_t h = 0; h < args.kv_heads; ++h) {
      const int64_t base = (block * args.kv_heads + h) * D * kCacheBlock;
      for (int64_t d = 0; d < D; ++d) {
        args.k_pool[base + d * kCacheBlock + offset] = args.k[t * args.k_stride + h * D + d];
        args.v_pool[base + offset * D + d] = args.v[t * args.v_stride + h * D + d];
      }
    }
  }
}

void paged_attention(const PagedAttentionArgs& args) {
  const int64_t D = args.head_dim, E = args.values();
  const int64_t group = args.heads / args.kv_heads;
  const bool latent = args.v_pool == nullptr;  // rows that are key and value
  const double* v_pool = latent ? args.k_pool : args.v_pool;
  for (int64_t s = 0; s < args.seqs; ++s) {
    const int32_t* table = args.block_table + s * args.block_table_stride;
    const int64_t rows = args.row_start[s + 1] - args.row_start[s];
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t t = args.row_start[s] + i;
      const int64_t position = args.context[s] - rows + i;
      const Keys keys = visible_keys(args.mask, position, {0, args.context[s]});
      for (int64_t h = 0; h < args.heads; ++h) {
        const auto base = [&](int64_t key) {
          return (table[key / kCacheBlock] * args.kv_heads + h / group) * D * kCacheBlock;
        };
        const double* q = args.q + t * args.q_stride + h * D;
        std::vector<double> scores;
        for (int64_t j = keys.begin; j < keys.end; ++j) {
          const double* k = args.k_pool + base(j) + j % kCacheBlock * (latent ? D : 1);
          scores.push_back(capped(args.mask, dot(q, k, D, latent ? 1 : kCacheBlock)) +
                           alibi(args.mask, h, position, j));
        }
        const auto value = [&](int64_t j, int64_t d) {
          const int64_t key = keys.begin + j;
          return v_pool[base(key) + key % kCacheBlock * D + d];
        };
        const auto whole = [](int64_t) { return 1.0; };
        weigh_values(scores, E, value, whole, args.out + (t * args.heads + h) * E);
      }
    }
  }
}

}  // namespace ashlar::kernels::ref
