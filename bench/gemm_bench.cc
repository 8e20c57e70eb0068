// Speed of gemm on the shapes of training and serving, as GFLOP/s and share of the FMA peak, and
// for few rows as GB/s and share of the read bandwidth, both measured in the same run.
//
//   gemm_bench [--isa TIER] [--threads N] [--dtype f32|bf16] [--seconds S]
//   gemm_bench --serve   reads lines "forward|input_grad|weight_grad|decode M N R f32|bf16|FORMAT
//   SECONDS", FORMAT (q8_0, q4_0, q4_k, q6_k): weights packed once, activations f32 and forward or
//   decode only;
//                        answers each with the seconds of the fastest and the median call
//                        (bench/compare_gemm.py takes turns with it)
#include "ashlar/base/cpu.h"
#include "ashlar/base/thread_pool.h"
#include "ashlar/kernels/table.h"
#include "ashlar/kernels/team.h"
#include "ashlar/tensor/quantize.h"

#include <fmt/format.h>

#include <immintrin.h>
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <memory>
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

// In huge pages where they are to be had, as tensors and the arena are.
struct Buffer {
  explicit Buffer(int64_t bytes)
      : size((static_cast<size_t>(bytes) + 64 + kHugePage - 1) / kHugePage * kHugePage),
        memory(static_cast<std::byte*>(std::aligned_alloc(kHugePage, size)), &std::free) {
    ::madvise(memory.get(), size, MADV_HUGEPAGE);
  }
  static constexpr size_t kHugePage = size_t{2} << 20;
  std::byte* data() const { return memory.get(); }
  size_t size;
  std::unique_ptr<std::byte, void (*)(void*)> memory;
};

Buffer random_matrix(int64_t elements, DType dtype) {
  if (is_block(dtype)) {
    const Buffer plain = random_matrix(elements, DType::kF32);
    Buffer blocks(bytes_of(dtype, elements));
    quantize(dtype, reinterpret_cast<const float*>(plain.data()), blocks.data(), elements);
    return blocks;
  }
  Buffer buffer(elements * size_of(dtype));
  uint32_t state = 1;
  for (int64_t i = 0; i < elements; ++i) {
    state = state * 1664525u + 1013904223u;
    const float x = static_cast<float>(state >> 8) * 0x1p-23f - 1.0f;
    if (dtype == DType::kF32) {
      reinterpret_cast<float*>(buffer.data())[i] = x;
    } else {
      reinterpret_cast<bf16*>(buffer.data())[i] = to_bf16(x);
    }
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

// One product. forward: X W^T. input_grad: dY W. weight_grad: dY^T X. decode: X times packed W^T,
// over several copies of W so that they come from memory.
struct Problem {
  std::string kind;
  int64_t m, n, r;
  DType dtype;
};

Times run(const KernelTable& table, ThreadPool& pool, const Problem& p, double budget) {
  const bool decode = p.kind == "decode", packs = decode || is_block(p.dtype);
  const DType activations = is_block(p.dtype) ? DType::kF32 : p.dtype;
  const Buffer a = random_matrix(p.m * p.r, activations);
  const Buffer b = random_matrix(p.r * p.n, p.dtype);
  const Buffer c(p.m * p.n * 4);
  GemmArgs args;
  args.m = p.m;
  args.n = p.n;
  args.r = p.r;
  const bool a_transposed = p.kind == "weight_grad", b_transposed = p.kind == "forward" || decode;
  args.a = a_transposed ? MatrixView{a.data(), p.dtype, 1, p.m}
                        : MatrixView{a.data(), activations, p.r, 1};
  args.b =
      b_transposed ? MatrixView{b.data(), p.dtype, 1, p.r} : MatrixView{b.data(), p.dtype, p.n, 1};
  args.c = c.data();
  args.c_dtype = a_transposed ? DType::kF32 : activations;
  args.c_stride = p.n;
  std::vector<Buffer> packed;
  if (packs) {
    const int64_t bytes = table.packed_b_bytes(p.dtype, p.r, p.n);
    const int64_t copies = decode ? std::max<int64_t>(1, (int64_t{400} << 20) / bytes) : 1;
    for (int64_t i = 0; i < copies; ++i) {
      table.pack_b(args.b, p.r, p.n, 0, p.n, p.dtype, packed.emplace_back(bytes).data());
    }
    args.set_packed(packed[0].data(), p.dtype);
  }
  const int64_t scratch_bytes = table.gemm_scratch(args, pool.threads());
  const Buffer scratch(scratch_bytes);
  const Team team = make_team(pool, {scratch.data(), static_cast<size_t>(scratch_bytes)});
  size_t turn = 0;
  return measure(pool.threads(), budget, [&] {
    if (decode) args.packed_b = packed[turn++ % packed.size()].data();
    table.gemm(args, team);
  });
}

// A gated MLP of m rows; p.n values lie between, p.r go in and come out.
Times run_mlp(const KernelTable& table, ThreadPool& pool, const Problem& p, double budget) {
  const Buffer x = random_matrix(p.m * p.r, DType::kF32);
  const Buffer y(p.m * p.r * 4);
  GatedMlpArgs args;
  for (GemmArgs* product : {&args.gate, &args.up, &args.down}) {
    const bool last = product == &args.down;
    product->m = p.m;
    product->n = last ? p.r : p.n;
    product->r = last ? p.n : p.r;
    product->a = {x.data(), DType::kF32, p.r, 1};
    product->c = y.data();
    product->c_dtype = DType::kF32;
    product->c_stride = p.r;
  }
  const Buffer weight = random_matrix(p.n * p.r, p.dtype);
  const auto pack = [&](const GemmArgs& product) {
    Buffer packed(table.packed_b_bytes(p.dtype, product.r, product.n));
    table.pack_b({weight.data(), p.dtype, 1, product.r}, product.r, product.n, 0, product.n,
                 p.dtype, packed.data());
    return packed;
  };
  std::vector<Buffer> packed;  // gate, up, down, and so on
  int64_t bytes = 0;
  while (bytes < int64_t{400} << 20) {
    for (const GemmArgs* product : {&args.gate, &args.up, &args.down}) {
      bytes += static_cast<int64_t>(packed.emplace_back(pack(*product)).size);
    }
  }
  size_t turn = 0;
  const auto take = [&] {
    for (GemmArgs* product : {&args.gate, &args.up, &args.down}) {
      product->set_packed(packed[turn++ % packed.size()].data(), p.dtype);
    }
  };
  take();
  const int64_t scratch_bytes = table.gated_mlp_scratch(args, pool.threads());
  const Buffer scratch(scratch_bytes);
  const Team team = make_team(pool, {scratch.data(), static_cast<size_t>(scratch_bytes)});
  return measure(pool.threads(), budget, [&] {
    take();
    table.gated_mlp(args, team);
  });
}

#if defined(__x86_64__)
// 2 * 16 * chains FLOP a round; enough chains for any latency.
__attribute__((target("avx512f"))) float fma_rounds_512(int64_t rounds) {
  __m512 sum[16];
  for (int i = 0; i < 16; ++i) sum[i] = _mm512_set1_ps(static_cast<float>(i));
  const __m512 x = _mm512_set1_ps(0.999f), y = _mm512_set1_ps(0.001f);
  for (int64_t k = 0; k < rounds; ++k) {
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) sum[i] = _mm512_fmadd_ps(sum[i], x, y);
  }
  for (int i = 1; i < 16; ++i) sum[0] = _mm512_add_ps(sum[0], sum[i]);
  return sum[0][0];
}
__attribute__((target("avx2,fma"))) float fma_rounds_256(int64_t rounds) {
  __m256 sum[12];
  for (int i = 0; i < 12; ++i) sum[i] = _mm256_set1_ps(static_cast<float>(i));
  const __m256 x = _mm256_set1_ps(0.999f), y = _mm256_set1_ps(0.001f);
  for (int64_t k = 0; k < rounds; ++k) {
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) sum[i] = _mm256_fmadd_ps(sum[i], x, y);
  }
  for (int i = 1; i < 12; ++i) sum[0] = _mm256_add_ps(sum[0], sum[i]);
  return sum[0][0];
}
__attribute__((target("avx512f,avx512bf16"))) float dot_rounds_512(int64_t rounds) {
  __m512 sum[16];
  for (int i = 0; i < 16; ++i) sum[i] = _mm512_set1_ps(static_cast<float>(i));
  const __m512bh x = reinterpret_cast<__m512bh>(_mm512_set1_epi16(0x3c00));
  for (int64_t k = 0; k < rounds; ++k) {
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) sum[i] = _mm512_dpbf16_ps(sum[i], x, x);
  }
  for (int i = 1; i < 16; ++i) sum[0] = _mm512_add_ps(sum[0], sum[i]);
  return sum[0][0];
}
__attribute__((target("avx2"))) float read_all(const std::byte* data, int64_t bytes) {
  __m256 sum[8] = {};
  const float* p = reinterpret_cast<const float*>(data);
  for (int64_t i = 0; i + 64 <= bytes / 4; i += 64) {
#pragma GCC unroll 8
    for (int k = 0; k < 8; ++k) {
      sum[k] = _mm256_add_ps(sum[k], _mm256_loadu_ps(p + i + 8 * k));
    }
    __builtin_prefetch(p + i + 1024);
    __builtin_prefetch(p + i + 1040);
    __builtin_prefetch(p + i + 1056);
    __builtin_prefetch(p + i + 1072);
  }
  for (int k = 1; k < 8; ++k) sum[0] = _mm256_add_ps(sum[0], sum[k]);
  return sum[0][0];
}
#endif

volatile float kept;  // what probes compute, so that it is computed

// FLOP/s of all threads, with the tier's own multiply-add.
double fma_peak(IsaTier tier, ThreadPool& pool, DType dtype) {
#if defined(__x86_64__)
  constexpr int64_t kRounds = 400000;
  const bool wide = tier == IsaTier::kAvx512 || tier == IsaTier::kAvx512Bf16;
  const bool dot = tier == IsaTier::kAvx512Bf16 && dtype == DType::kBF16;
  if (tier == IsaTier::kScalar) return 0;
  const Times t = measure(pool.threads(), 0.3, [&] {
    pool.parallel_for(pool.threads(), [&](int64_t, int) {
      kept = dot    ? dot_rounds_512(kRounds)
             : wide ? fma_rounds_512(kRounds)
                    : fma_rounds_256(kRounds);
    });
  });
  const double per_round = dot ? 16 * 64.0 : wide ? 16 * 32.0 : 12 * 16.0;
  return per_round * kRounds * pool.threads() / t.fastest;
#else
  (void)tier, (void)pool, (void)dtype;
  return 0;
#endif
}

double read_bandwidth(ThreadPool& pool) {
#if defined(__x86_64__)
  const int64_t bytes = int64_t{512} << 20, chunk = int64_t{1} << 20;
  Buffer buffer(bytes);
  std::fill_n(buffer.data(), bytes, std::byte{0});
  const Times t = measure(pool.threads(), 0.5, [&] {
    pool.parallel_for(bytes / chunk,
                      [&](int64_t i, int) { kept = read_all(buffer.data() + i * chunk, chunk); });
  });
  return static_cast<double>(bytes) / t.fastest;
#else
  (void)pool;
  return 0;
#endif
}

// Linear layers (tokens, outputs, inputs) of the models that training is measured on.
struct Layer {
  const char* name;
  int64_t tokens, outputs, inputs;
};
constexpr Layer kLayers[] = {
    {"char-10m qkv", 3072, 1152, 384},   {"char-10m out", 3072, 384, 384},
    {"char-10m up", 3072, 1536, 384},    {"char-10m down", 3072, 384, 1536},
    {"char-10m head", 3072, 65, 384},    {"llama-60m qkv", 1024, 1024, 512},
    {"llama-60m out", 1024, 512, 512},   {"llama-60m gate+up", 1024, 2816, 512},
    {"llama-60m down", 1024, 512, 1408}, {"llama-60m head", 1024, 32000, 512},
    {"gpt2 qkv", 1024, 2304, 768},       {"gpt2 out", 1024, 768, 768},
    {"gpt2 up", 1024, 3072, 768},        {"gpt2 down", 1024, 768, 3072},
    {"gpt2 head", 1024, 50257, 768},     {"7b out", 1024, 4096, 4096},
};
constexpr int64_t kDecode[][2] = {{2048, 2048}, {5632, 2048}, {2048, 5632}};

Problem problem(const Layer& layer, const std::string& kind, DType dtype) {
  if (kind == "forward") return {kind, layer.tokens, layer.outputs, layer.inputs, dtype};
  if (kind == "input_grad") return {kind, layer.tokens, layer.inputs, layer.outputs, dtype};
  return {kind, layer.outputs, layer.inputs, layer.tokens, dtype};
}

void serve(const KernelTable& table, ThreadPool& pool) {
  std::string line, dtype;
  while (std::getline(std::cin, line)) {
    std::istringstream in(line);
    Problem p;
    double budget = 0;
    in >> p.kind >> p.m >> p.n >> p.r >> dtype >> budget;
    for (const DType known :
         {DType::kF32, DType::kBF16, DType::kQ8_0, DType::kQ4_0, DType::kQ4K, DType::kQ6K}) {
      if (dtype == name(known)) p.dtype = known;
    }
    const Times t = p.kind == "mlp" ? run_mlp(table, pool, p, budget) : run(table, pool, p, budget);
    fmt::print("{:.9f} {:.9f}\n", t.fastest, t.median);
    std::fflush(stdout);
  }
}

void print_all(const KernelTable& table, ThreadPool& pool, DType dtype, double budget) {
  const double peak = fma_peak(table.tier, pool, dtype), bandwidth = read_bandwidth(pool);
  fmt::print("tier {} threads {} dtype {}: FMA peak {:.1f} GFLOP/s, read bandwidth {:.1f} GB/s\n",
             name(table.tier), pool.threads(), name(dtype), peak / 1e9, bandwidth / 1e9);
  for (const Layer& layer : kLayers) {
    fmt::print("{:18} {:5} x {:5} x {:4}", layer.name, layer.tokens, layer.outputs, layer.inputs);
    for (const char* kind : {"forward", "input_grad", "weight_grad"}) {
      const Problem p = problem(layer, kind, dtype);
      const double flop = 2.0 * static_cast<double>(p.m * p.n * p.r);
      const double rate = flop / run(table, pool, p, budget).fastest;
      fmt::print("  {} {:6.1f} {:3.0f}%", kind, rate / 1e9, 100 * rate / peak);
    }
    fmt::print("\n");
  }
  for (const int64_t m : {1, 2, 4, 8}) {
    for (const auto& [n, r] : kDecode) {
      const Times t = run(table, pool, {"decode", m, n, r, dtype}, budget);
      const double rate = static_cast<double>(n * r * size_of(dtype)) / t.median;
      fmt::print("decode {} x {:4} x {:4}  {:5.1f} GB/s {:3.0f}%\n", m, n, r, rate / 1e9,
                 100 * rate / bandwidth);
    }
  }
}

int main_of(int argc, char** argv) {
  IsaTier tier = best_isa_tier();
  int threads = cpu_info().logical_cores;
  DType dtype = DType::kF32;
  double budget = 0.3;
  bool serving = false;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    const std::string value = i + 1 < argc ? argv[i + 1] : "";
    if (flag == "--serve") {
      serving = true;
      continue;
    }
    if (flag == "--isa" && isa_tier_from_name(value)) {
      tier = *isa_tier_from_name(value);
    } else if (flag == "--threads") {
      threads = std::stoi(value);
    } else if (flag == "--dtype") {
      dtype = value == "bf16" ? DType::kBF16 : DType::kF32;
    } else if (flag == "--seconds") {
      budget = std::stod(value);
    } else {
      fmt::print(stderr, "gemm_bench: {} {} is not understood; see the top of the source\n", flag,
                 value);
      return 2;
    }
    ++i;
  }
  ThreadPool pool(threads);
  if (serving) {
    serve(kernel_table(tier), pool);
  } else {
    print_all(kernel_table(tier), pool, dtype, budget);
  }
  return 0;
}

}  // namespace
}  // namespace ashlar::kernels

int main(int argc, char** argv) { return ashlar::kernels::main_of(argc, argv); }
