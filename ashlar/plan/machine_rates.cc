#include "ashlar/plan/machine_rates.h"

#include "ashlar/base/cpu.h"
#include "ashlar/base/thread_pool.h"
#include "ashlar/comm/thread_ranks.h"
#include "ashlar/kernels/team.h"

#include <algorithm>
#include <functional>
#include <span>
#include <utility>
#include <vector>

namespace ashlar::plan {
namespace {

constexpr double kWindow = 0.15;    // seconds a measurement takes
constexpr double kMostFlops = 2e9;  // of one product
constexpr int64_t kMemoryFloats = 4 << 20;
constexpr int kMostTalkers = 8;  // ranks that exchange messages, of many

std::vector<float> numbers(int64_t count) {
  return std::vector<float>(static_cast<size_t>(std::max<int64_t>(count, 1)), 0.5f);
}

// The best time of a call: neighbours only ever slow one down.
double seconds_of(const std::function<void()>& call, const Clock& clock) {
  call();  // warms caches and threads
  const double begin = clock.now();
  double best = 1e300;
  do {
    const double start = clock.now();
    call();
    best = std::min(best, clock.now() - start);
  } while (clock.now() - begin < kWindow);
  return std::max(best, 1e-9);
}

class Bench {
 public:
  Bench(const RankWork& work, const kernels::KernelTable& table, const Clock& clock)
      : work_(work), table_(table), clock_(clock), pool_(work.threads) {}

  double matrix_flops() {
    kernels::GemmArgs args;
    args.n = work_.ffn;
    args.r = work_.width;
    const double row = 2.0 * static_cast<double>(args.n) * static_cast<double>(args.r);
    args.m = std::clamp<int64_t>(static_cast<int64_t>(kMostFlops / row), 1, work_.tokens);
    // bf16 and f16 operands take half of it; their bits are whatever floats these are.
    const auto a = numbers(args.m * args.r), b = numbers(args.n * args.r);
    auto c = numbers(args.m * args.n);
    args.a = {a.data(), work_.dtype, args.r, 1};
    args.b = {b.data(), work_.dtype, 1, args.r};
    args.c = c.data();
    args.c_stride = args.n;
    reserve(table_.gemm_scratch(args, pool_.threads()));
    return row * static_cast<double>(args.m) /
           seconds_of([&] { table_.gemm(args, team()); }, clock_);
  }

  double attention_flops() {
    kernels::AttentionArgs args;
    args.tokens = std::min<int64_t>(work_.seq, 1024);
    args.seqs = 1;
    args.heads = args.kv_heads = work_.heads;
    args.head_dim = work_.head_dim;
    const int64_t width = args.heads * args.head_dim;
    const std::vector<int32_t> row_start = {0, static_cast<int32_t>(args.tokens)};
    const auto qkv = numbers(args.tokens * width);
    auto out = numbers(args.tokens * width), lse = numbers(args.tokens * args.heads);
    args.row_start = row_start.data();
    args.q = args.k = args.v = qkv.data();
    args.q_stride = args.k_stride = args.v_stride = width;
    args.out = out.data();
    args.lse = lse.data();
    reserve(table_.attention_scratch(args, pool_.threads()));
    const auto tokens = static_cast<double>(args.tokens);
    const double flops = 4 * (tokens * (tokens + 1) / 2) * static_cast<double>(width);
    return flops / seconds_of([&] { table_.attention(args, team()); }, clock_);
  }

  double memory_bytes() {
    const auto a = numbers(kMemoryFloats), b = numbers(kMemoryFloats);
    auto c = numbers(kMemoryFloats);
    const double bytes = 3.0 * sizeof(float) * static_cast<double>(kMemoryFloats);
    return bytes /
           seconds_of(
               [&] {
                 table_.add({kMemoryFloats, DType::kF32, a.data(), b.data(), c.data()}, team());
               },
               clock_);
  }

 private:
  void reserve(int64_t bytes) { scratch_.resize(static_cast<size_t>(bytes)); }
  kernels::Team team() { return kernels::make_team(pool_, {scratch_.data(), scratch_.size()}); }

  const RankWork& work_;
  const kernels::KernelTable& table_;
  const Clock& clock_;
  ThreadPool pool_;
  std::vector<std::byte> scratch_;
};

}  // namespace

// Many numbers for bytes, one for the latency. Ranks that share cores would be faster alone.
void measure_messages(comm::Communicator& comm, const Clock& clock, MachineRates& rates) {
  constexpr int64_t kMany = 4 << 20;
  const double crowd = std::max(1.0, static_cast<double>(comm.size()) / cpu_info().logical_cores);
  auto values = numbers(kMany);
  const auto sum = [&](int64_t count) {
    comm.all_reduce(comm.world(), comm::Reduce::kSum,
                    comm::buffer(std::span(values).first(static_cast<size_t>(count))), "rates");
  };
  // Seconds of some sums, each as fast as the fastest, and what was sent for them.
  const auto measure = [&](int64_t count, int times) {
    sum(count);
    const comm::Traffic before = comm.counters().total();
    double best = 1e300;
    for (int i = 0; i < times; ++i) {
      const double start = clock.now();
      sum(count);
      best = std::min(best, clock.now() - start);
    }
    comm::Traffic sent = comm.counters().total();
    sent.bytes -= before.bytes;
    sent.messages -= before.messages;
    return std::pair(std::max(best, 1e-9) * times, sent);
  };
  const auto [few, small] = measure(1, 40);
  const auto [many, large] = measure(kMany, 3);
  rates.message_latency = few / static_cast<double>(small.messages) / crowd;
  rates.message_bytes = static_cast<double>(large.bytes) / many * crowd;
}

MachineRates measure_rates(const RankWork& work, const kernels::KernelTable& table,
                           const Clock& clock) {
  Bench bench(work, table, clock);
  MachineRates rates;
  rates.matrix_flops = bench.matrix_flops();
  rates.attention_flops = bench.attention_flops();
  rates.memory_bytes = bench.memory_bytes();
  if (work.ranks == 1) return rates;
  std::vector<MachineRates> seen(static_cast<size_t>(std::min(work.ranks, kMostTalkers)), rates);
  comm::run_ranks(static_cast<int>(seen.size()), [&](comm::Communicator& comm) {
    measure_messages(comm, clock, seen[static_cast<size_t>(comm.rank())]);
  });
  return seen[0];
}

}  // namespace ashlar::plan
