// Speed of attention: forward and backward on the shapes of training as GFLOP/s (products of
// visible pairs only: 4 D a pair forward, 10 D backward), decode as GB/s of the cache read, beside
// the read bandwidth measured in the same run.
//
//   attention_bench [--isa TIER] [--threads N] [--seconds S] [--dropout RATE]
//   attention_bench --serve   reads lines "forward|backward SEQS LENGTH HEADS KV_HEADS HEAD_DIM
//                             f32|bf16 SECONDS" or "decode SEQS CONTEXT HEADS KV_HEADS HEAD_DIM
//                             f32|bf16|f16 SECONDS" (dtype of the pool), answers each with the
//                             seconds of the fastest and the median call
//                             (bench/attention_vs_torch.py takes turns with it)
#include "ashlar/base/cpu.h"
#include "ashlar/base/thread_pool.h"
#include "ashlar/kernels/table.h"
#include "ashlar/kernels/team.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <memory>
#include <numeric>
#include <sstream>
#include <string>
#include <vector>

namespace ashlar::kernels {
namespace {

double wall_seconds() {
  using Clock = std::chrono::steady_clock;
  return std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
}

// The time of a call: with one thread the processor time it got, so that other programs on the
// machine count less; with several the wall time.
double call_seconds(int threads) {
  if (threads > 1) return wall_seconds();
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

struct Buffer {
  explicit Buffer(int64_t bytes)
      : size(static_cast<size_t>(bytes) + 64),
        memory(static_cast<std::byte*>(std::aligned_alloc(4096, (size + 4095) / 4096 * 4096)),
               &std::free) {}
  std::byte* data() const { return memory.get(); }
  float* floats() const { return reinterpret_cast<float*>(memory.get()); }
  size_t size;
  std::unique_ptr<std::byte, void (*)(void*)> memory;
};

Buffer random_array(int64_t elements, DType dtype) {
  Buffer buffer(elements * size_of(dtype));
  uint32_t state = 1;
  for (int64_t i = 0; i < elements; ++i) {
    state = state * 1664525u + 1013904223u;
    const float x = static_cast<float>(state >> 8) * 0x1p-23f - 1.0f;
    if (dtype == DType::kF32) buffer.floats()[i] = x;
    if (dtype == DType::kBF16) reinterpret_cast<bf16*>(buffer.data())[i] = to_bf16(x);
    if (dtype == DType::kF16) reinterpret_cast<f16*>(buffer.data())[i] = to_f16(x);
  }
  return buffer;
}

struct Times {
  double fastest, median;
};

// Calls f for about `budget` seconds.
template <typename F>
Times measure(int threads, double budget, F f) {
  f();
  std::vector<double> times;
  const double end = wall_seconds() + budget;
  do {
    const double start = call_seconds(threads);
    f();
    times.push_back(call_seconds(threads) - start);
  } while (wall_seconds() < end || times.size() < 3);
  std::sort(times.begin(), times.end());
  return {times.front(), times[times.size() / 2]};
}

struct Problem {
  std::string kind;
  int64_t seqs, length, heads, kv_heads, head_dim;
  DType dtype;
  float dropout = 0;  // of forward and backward

  AttentionMask mask() const {
    const auto scale = static_cast<float>(1 / std::sqrt(static_cast<double>(head_dim)));
    return {.causal = true, .window = 0, .scale = scale, .softcap = 0};
  }
  double flop() const {
    const auto n = static_cast<double>(length);
    const double pairs = static_cast<double>(seqs * heads) * n * (n + 1) / 2;
    return pairs * static_cast<double>(head_dim) * (kind == "forward" ? 4 : 10);
  }
  double cache_bytes() const {
    return static_cast<double>(2 * seqs * length * kv_heads * head_dim * size_of(dtype));
  }
};

Times run_training(const KernelTable& table, ThreadPool& pool, const Problem& p, double budget) {
  const int64_t tokens = p.seqs * p.length;
  const int64_t width = p.heads * p.head_dim, kv_width = p.kv_heads * p.head_dim;
  const Buffer q = random_array(tokens * width, p.dtype), d_out = random_array(q.size, p.dtype);
  const Buffer k = random_array(tokens * kv_width, p.dtype);
  const Buffer v = random_array(tokens * kv_width, p.dtype);
  const Buffer out(tokens * width * 4), d_q(tokens * width * 4), lse(tokens * p.heads * 4);
  const Buffer d_k(tokens * kv_width * 4), d_v(tokens * kv_width * 4);
  std::vector<int32_t> row_start;
  for (int64_t s = 0; s <= p.seqs; ++s) row_start.push_back(static_cast<int32_t>(s * p.length));

  AttentionGradArgs args;
  AttentionArgs& forward = args.forward;
  forward.mask = p.mask();
  forward.tokens = tokens;
  forward.seqs = p.seqs;
  forward.heads = p.heads;
  forward.kv_heads = p.kv_heads;
  forward.head_dim = p.head_dim;
  forward.row_start = row_start.data();
  forward.dtype = p.dtype;
  forward.q = q.data();
  forward.k = k.data();
  forward.v = v.data();
  forward.dropout = {.rate = p.dropout, .key = 1, .step = 1};
  forward.q_stride = width;
  forward.k_stride = forward.v_stride = kv_width;
  forward.out = out.data();
  forward.lse = lse.floats();
  args.d_out = d_out.data();
  args.d_q = d_q.data();
  args.d_k = d_k.data();
  args.d_v = d_v.data();
  const int64_t bytes = std::max(table.attention_scratch(forward, pool.threads()),
                                 table.attention_grad_scratch(args, pool.threads()));
  const Buffer scratch(bytes);
  const Team team = make_team(pool, {scratch.data(), static_cast<size_t>(bytes)});
  table.attention(forward, team);
  return measure(pool.threads(), budget, [&] {
    if (p.kind == "forward") {
      table.attention(forward, team);
    } else {
      table.attention_grad(args, team);
    }
  });
}

// One new token for each sequence, over caches whose blocks lie in a scattered order.
Times run_decode(const KernelTable& table, ThreadPool& pool, const Problem& p, double budget) {
  const int64_t width = p.heads * p.head_dim;
  const int64_t blocks_per_seq = (p.length + kCacheBlock - 1) / kCacheBlock;
  const int64_t blocks = blocks_per_seq * p.seqs;
  const int64_t elements = blocks * kCacheBlock * p.kv_heads * p.head_dim;
  const Buffer q = random_array(p.seqs * width, DType::kF32), out(p.seqs * width * 4);
  const Buffer k_pool = random_array(elements, p.dtype), v_pool = random_array(elements, p.dtype);
  std::vector<int32_t> row_start(static_cast<size_t>(p.seqs) + 1);
  std::iota(row_start.begin(), row_start.end(), 0);
  const std::vector<int32_t> context(static_cast<size_t>(p.seqs), static_cast<int32_t>(p.length));
  std::vector<int32_t> block_table(static_cast<size_t>(blocks));
  std::iota(block_table.begin(), block_table.end(), 0);
  uint32_t state = 1;
  for (size_t i = block_table.size(); i > 1; --i) {
    state = state * 1664525u + 1013904223u;
    std::swap(block_table[i - 1], block_table[(state >> 8) % i]);
  }

  PagedAttentionArgs args;
  args.mask = p.mask();
  args.tokens = args.seqs = p.seqs;
  args.heads = p.heads;
  args.kv_heads = p.kv_heads;
  args.head_dim = p.head_dim;
  args.row_start = row_start.data();
  args.context = context.data();
  args.block_table = block_table.data();
  args.block_table_stride = blocks_per_seq;
  args.q = q.data();
  args.q_stride = width;
  args.pool_dtype = p.dtype;
  args.k_pool = k_pool.data();
  args.v_pool = v_pool.data();
  args.out = out.data();
  const int64_t bytes = table.paged_attention_scratch(args, pool.threads());
  const Buffer scratch(bytes);
  const Team team = make_team(pool, {scratch.data(), static_cast<size_t>(bytes)});
  return measure(pool.threads(), budget, [&] { table.paged_attention(args, team); });
}

Times run(const KernelTable& table, ThreadPool& pool, const Problem& p, double budget) {
  return p.kind == "decode" ? run_decode(table, pool, p, budget)
                            : run_training(table, pool, p, budget);
}

volatile uint64_t kept;  // what the probe computes, so that it is computed

double read_bandwidth(ThreadPool& pool) {
  const int64_t bytes = int64_t{256} << 20, chunk = int64_t{1} << 20;
  const Buffer buffer = random_array(bytes / 4, DType::kF32);
  const Times t = measure(pool.threads(), 0.5, [&] {
    pool.parallel_for(bytes / chunk, [&](int64_t i, int) {
      const auto* p = reinterpret_cast<const uint64_t*>(buffer.data() + i * chunk);
      uint64_t sum[4] = {};
      for (int64_t j = 0; j < chunk / 8; j += 4) {
        for (int64_t lane = 0; lane < 4; ++lane) sum[lane] += p[j + lane];
      }
      kept = sum[0] + sum[1] + sum[2] + sum[3];
    });
  });
  return static_cast<double>(bytes) / t.fastest;
}

// The attention of the models that training is measured on, and caches of serving. A microbatch
// holds as many tokens as in gemm_bench.
struct Shape {
  const char* name;
  int64_t seqs, length, heads, kv_heads, head_dim;
};
constexpr Shape kTraining[] = {
    {"char-10m", 12, 256, 6, 6, 64},
    {"llama-60m", 1, 1024, 8, 4, 64},
    {"gpt2-124m", 1, 1024, 12, 12, 64},
};
constexpr Shape kDecode[] = {
    {"llama-60m", 16, 4096, 8, 4, 64},
    {"gpt2-124m", 4, 4096, 12, 12, 64},
    {"8b, 1 user", 1, 4096, 32, 8, 128},
    {"1 head", 1, 32768, 4, 1, 128},
};

Problem problem(const Shape& s, const std::string& kind, DType dtype, float dropout = 0) {
  return {kind, s.seqs, s.length, s.heads, s.kv_heads, s.head_dim, dtype, dropout};
}

void print_all(const KernelTable& table, ThreadPool& pool, double budget, float dropout) {
  fmt::print("{}, tier {}, {} threads, dropout {}\n", cpu_info().model, name(table.tier),
             pool.threads(), dropout);
  for (const Shape& shape : kTraining) {
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      fmt::print("{:10} {} x {}, {}:{} heads of {}, {:4}", shape.name, shape.seqs, shape.length,
                 shape.heads, shape.kv_heads, shape.head_dim, name(dtype));
      for (const char* kind : {"forward", "backward"}) {
        const Problem p = problem(shape, kind, dtype, dropout);
        fmt::print("  {} {:6.1f} GFLOP/s", kind,
                   p.flop() / run(table, pool, p, budget).fastest * 1e-9);
      }
      fmt::print("\n");
    }
  }
  const double bandwidth = read_bandwidth(pool);
  fmt::print("read bandwidth {:.1f} GB/s\n", bandwidth * 1e-9);
  for (const Shape& shape : kDecode) {
    fmt::print("{:10} decode {} x {}, {}:{} heads of {}", shape.name, shape.seqs, shape.length,
               shape.heads, shape.kv_heads, shape.head_dim);
    for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
      const Problem p = problem(shape, "decode", dtype);
      const double speed = p.cache_bytes() / run(table, pool, p, budget).fastest;
      fmt::print("  {} {:5.1f} GB/s ({:3.0f}%)", name(dtype), speed * 1e-9,
                 100 * speed / bandwidth);
    }
    fmt::print("\n");
  }
}

void serve(const KernelTable& table, ThreadPool& pool, float dropout) {
  std::string line, dtype;
  while (std::getline(std::cin, line)) {
    std::istringstream in(line);
    Problem p;
    double budget = 0;
    in >> p.kind >> p.seqs >> p.length >> p.heads >> p.kv_heads >> p.head_dim >> dtype >> budget;
    p.dropout = dropout;
    p.dtype = dtype == "bf16" ? DType::kBF16 : dtype == "f16" ? DType::kF16 : DType::kF32;
    const Times t = run(table, pool, p, budget);
    fmt::print("{:.9f} {:.9f}\n", t.fastest, t.median);
    std::fflush(stdout);
  }
}

}  // namespace
}  // namespace ashlar::kernels

int main(int argc, char** argv) {
  using namespace ashlar;
  IsaTier tier = best_isa_tier();
  int threads = cpu_info().logical_cores;
  double seconds = 0.3;
  float dropout = 0;
  bool serving = false;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--serve") {
      serving = true;
      continue;
    }
    const std::string value = i + 1 < argc ? argv[++i] : "";
    const auto wanted = isa_tier_from_name(value);
    if (flag == "--isa" && wanted) {
      tier = *wanted;
    } else if (flag == "--threads" && std::atoi(value.c_str()) > 0) {
      threads = std::atoi(value.c_str());
    } else if (flag == "--seconds" && std::atof(value.c_str()) > 0) {
      seconds = std::atof(value.c_str());
    } else if (flag == "--dropout" && std::atof(value.c_str()) >= 0 &&
               std::atof(value.c_str()) < 1) {
      dropout = static_cast<float>(std::atof(value.c_str()));
    } else {
      fmt::print(stderr,
                 "usage: attention_bench [--isa TIER] [--threads N] [--seconds S] "
                 "[--dropout RATE] [--serve]\n");
      return 2;
    }
  }
  ThreadPool pool(threads);
  if (serving) {
    kernels::serve(kernels::kernel_table(tier), pool, dropout);
  } else {
    kernels::print_all(kernels::kernel_table(tier), pool, seconds, dropout);
  }
  return 0;
}
