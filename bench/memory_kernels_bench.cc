// The kernels that memory bounds, in bytes per second and as a share of the read bandwidth that the
// machine probe finds right before. Sizes lie beyond the caches. Bytes are those the kernel asks
// for: a store to memory also reads the line, so that a copy's share ends at two thirds.
//
//   bench/memory_kernels_bench --benchmark_repetitions=5
//   --benchmark_enable_random_interleaving=true
#include "ashlar/base/clock.h"
#include "ashlar/base/cpu.h"
#include "ashlar/base/philox.h"
#include "ashlar/base/thread_pool.h"
#include "ashlar/kernels/probe.h"
#include "ashlar/kernels/table.h"
#include "ashlar/kernels/team.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <vector>

namespace ashlar::kernels {
namespace {

constexpr int64_t kRows = 16384, kWidth = 768, kElements = kRows * kWidth;
constexpr int64_t kVocab = 32000, kLossRows = 256;

// Everything the kernels below read and write: matrices of 48 MiB.
struct Buffers {
  std::vector<float> x = random(kElements), y = random(kElements), z = random(kElements);
  std::vector<float> m = random(kElements), v = std::vector<float>(kElements, 0.01f);
  std::vector<bf16> half = std::vector<bf16>(kElements, to_bf16(0.5f));
  std::vector<float> weight = random(kWidth), bias = random(kWidth);
  std::vector<float> rstd = std::vector<float>(kRows, 1.0f), mean = std::vector<float>(kRows, 0.0f);
  std::vector<int32_t> ids = random_ids();
  std::vector<int32_t> positions = ascending();
  std::vector<std::byte> scratch = std::vector<std::byte>(1 << 20);
  double sum = 0;

  static std::vector<float> random(int64_t count) {
    const RandomStream stream(1, "bench");
    std::vector<float> values(static_cast<size_t>(count));
    for (size_t i = 0; i < values.size(); ++i) values[i] = stream.uniform(i) - 0.5f;
    return values;
  }
  static std::vector<int32_t> ascending() {
    std::vector<int32_t> values(kRows);
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<int32_t>(i);
    return values;
  }
  static std::vector<int32_t> random_ids() {
    const RandomStream stream(1, "ids");
    std::vector<int32_t> values(kRows);
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<int32_t>(stream.below(i, kRows));
    }
    return values;
  }
};
Buffers& buffers() {
  static Buffers b;
  return b;
}

// Runs f(table, team, buffers); bytes is what one run reads and writes.
template <typename F>
void measure(benchmark::State& state, int64_t bytes, F f) {
  const int threads = static_cast<int>(state.range(0));
  const SteadyClock clock;
  const ProbeEffort effort{.windows = 60, .window_seconds = 1e-4, .buffer_bytes = 4 * kElements};
  const double bandwidth =
      probe_machine(best_isa_tier(), {threads}, clock, effort).rates[0].read_bytes;
  ThreadPool pool(threads);
  Buffers& b = buffers();
  const Team team = make_team(pool, b.scratch);
  const KernelTable& table = kernel_table(best_isa_tier());
  double best = 1e9;
  for (auto _ : state) {
    const double start = clock.now();
    f(table, team, b);
    best = std::min(best, clock.now() - start);
  }
  state.SetBytesProcessed(state.iterations() * bytes);
  const double rate = static_cast<double>(bytes) / best;
  state.counters["read_GB/s"] = bandwidth * 1e-9;
  state.counters["best_GB/s"] = rate * 1e-9;
  state.counters["share"] = rate / bandwidth;
}

void sum_squares(benchmark::State& state) {
  measure(state, 4 * kElements, [](const KernelTable& table, const Team& team, Buffers& b) {
    table.sum_squares({kElements, b.x.data(), &b.sum}, team);
  });
}
void add(benchmark::State& state) {
  measure(state, 12 * kElements, [](const KernelTable& table, const Team& team, Buffers& b) {
    table.add({kElements, DType::kF32, b.x.data(), b.y.data(), b.z.data()}, team);
  });
}
void rms_norm(benchmark::State& state) {
  measure(state, 8 * kElements, [](const KernelTable& table, const Team& team, Buffers& b) {
    table.rms_norm({kRows, kWidth, 1e-5f, DType::kF32, b.x.data(), b.weight.data(), nullptr,
                    b.z.data(), b.rstd.data(), nullptr},
                   team);
  });
}
void layer_norm(benchmark::State& state) {
  measure(state, 8 * kElements, [](const KernelTable& table, const Team& team, Buffers& b) {
    table.layer_norm({kRows, kWidth, 1e-5f, DType::kF32, b.x.data(), b.weight.data(), b.bias.data(),
                      b.z.data(), b.rstd.data(), b.mean.data()},
                     team);
  });
}
void norm_grad(benchmark::State& state) {
  measure(state, 12 * kElements, [](const KernelTable& table, const Team& team, Buffers& b) {
    table.norm_grad({kRows, kWidth, DType::kF32, b.x.data(), b.weight.data(), b.rstd.data(),
                     b.mean.data(), b.y.data(), nullptr, b.z.data()},
                    team);
  });
}
void norm_weight_grad(benchmark::State& state) {
  measure(state, 8 * kElements, [](const KernelTable& table, const Team& team, Buffers& b) {
    table.norm_weight_grad({kRows, kWidth, DType::kF32, b.x.data(), b.rstd.data(), b.mean.data(),
                            b.y.data(), b.weight.data(), b.bias.data(), false},
                           team);
  });
}
void column_sum(benchmark::State& state) {
  measure(state, 4 * kElements, [](const KernelTable& table, const Team& team, Buffers& b) {
    table.column_sum({kRows, kWidth, DType::kF32, b.x.data(), b.bias.data(), false}, team);
  });
}
void gelu(benchmark::State& state) {
  measure(state, 8 * kElements, [](const KernelTable& table, const Team& team, Buffers& b) {
    table.activation({kElements, Activation::kGeluTanh, DType::kF32, b.x.data(), b.z.data()}, team);
  });
}
void swiglu_grad(benchmark::State& state) {
  measure(state, 20 * kElements, [](const KernelTable& table, const Team& team, Buffers& b) {
    GatedArgs forward;
    forward.rows = kRows;
    forward.width = forward.gate_stride = forward.up_stride = kWidth;
    forward.gate = b.x.data();
    forward.up = b.y.data();
    table.gated_grad({forward, b.v.data(), b.z.data(), b.m.data()}, team);
  });
}
void dropout(benchmark::State& state) {
  measure(state, 8 * kElements, [](const KernelTable& table, const Team& team, Buffers& b) {
    table.dropout({kElements, DType::kF32, 0.1f, 7, 3, 0, b.x.data(), b.z.data()}, team);
  });
}
void rope(benchmark::State& state) {
  measure(state, 8 * kElements, [](const KernelTable& table, const Team& team, Buffers& b) {
    table.rope({kRows, kWidth / 64, 64, 64, DType::kF32, b.x.data(), kWidth, b.positions.data(),
                b.v.data(), b.z.data(), false, false},
               team);
  });
}
void gather_rows(benchmark::State& state) {
  measure(state, 8 * kElements, [](const KernelTable& table, const Team& team, Buffers& b) {
    table.gather_rows({kRows, kWidth, kRows, 0, DType::kF32, DType::kF32, b.x.data(), b.ids.data(),
                       nullptr, b.z.data()},
                      team);
  });
}
void scatter_add_rows(benchmark::State& state) {
  measure(state, 12 * kElements, [](const KernelTable& table, const Team& team, Buffers& b) {
    table.scatter_add_rows({kRows, kWidth, kRows, 0, DType::kF32, b.ids.data(), b.y.data(),
                            DType::kF32, b.z.data(), true},
                           team);
  });
}
void cross_entropy(benchmark::State& state) {
  measure(state, 12 * kLossRows * kVocab,
          [](const KernelTable& table, const Team& team, Buffers& b) {
            table.cross_entropy({kLossRows, kVocab, b.z.data(), kVocab, b.ids.data(), 1.0f, true,
                                 b.rstd.data(), nullptr},
                                team);
          });
}
void adamw(benchmark::State& state) {
  measure(state, 30 * kElements, [](const KernelTable& table, const Team& team, Buffers& b) {
    AdamWArgs args;
    args.elements = kElements;
    args.param = b.z.data();
    args.m = b.m.data();
    args.v = b.v.data();
    args.grad = b.x.data();
    args.shadow = b.half.data();
    args.lr = 1e-6f;
    table.adamw(args, team);
  });
}

}  // namespace
}  // namespace ashlar::kernels

#define ASHLAR_BENCH(kernel) \
  BENCHMARK(ashlar::kernels::kernel)->Name(#kernel)->Arg(1)->Arg(2)->UseRealTime()
ASHLAR_BENCH(sum_squares);
ASHLAR_BENCH(add);
ASHLAR_BENCH(rms_norm);
ASHLAR_BENCH(layer_norm);
ASHLAR_BENCH(norm_grad);
ASHLAR_BENCH(norm_weight_grad);
ASHLAR_BENCH(column_sum);
ASHLAR_BENCH(gelu);
ASHLAR_BENCH(swiglu_grad);
ASHLAR_BENCH(dropout);
ASHLAR_BENCH(rope);
ASHLAR_BENCH(gather_rows);
ASHLAR_BENCH(scatter_add_rows);
ASHLAR_BENCH(cross_entropy);
ASHLAR_BENCH(adamw);
