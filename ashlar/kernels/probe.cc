#include "ashlar/kernels/probe.h"

#include "ashlar/base/cpu.h"
#include "ashlar/base/error.h"
#include "ashlar/base/thread_pool.h"
#include "ashlar/kernels/probe_table.h"

#include <algorithm>
#include <memory>

#define ASHLAR_DECLARE_PROBE(tier)    \
  namespace ashlar::kernels::tier {   \
  void fill_probe(ProbeTable& table); \
  }
ASHLAR_DECLARE_PROBE(scalar)
#if defined(__x86_64__)
ASHLAR_DECLARE_PROBE(avx2)
ASHLAR_DECLARE_PROBE(avx512_on_avx2)
ASHLAR_DECLARE_PROBE(avx512)
ASHLAR_DECLARE_PROBE(avx512bf16)
ASHLAR_DECLARE_PROBE(amx)  // over the loops of avx512
#endif

namespace ashlar::kernels {
namespace {

ProbeTable probe_table(IsaTier tier) {
  ProbeTable table;
  switch (tier) {
#if defined(__x86_64__)
    case IsaTier::kAvx2:
      avx2::fill_probe(table);
      break;
    case IsaTier::kAvx512OnAvx2:
      avx512_on_avx2::fill_probe(table);
      break;
    case IsaTier::kAvx512:
    case IsaTier::kAmxOnAvx512:  // what it is emulated by
      avx512::fill_probe(table);
      break;
    case IsaTier::kAvx512Bf16:
      avx512bf16::fill_probe(table);
      break;
    case IsaTier::kAmx:
      avx512::fill_probe(table);
      amx::fill_probe(table);
      break;
#endif
    default:
      scalar::fill_probe(table);
  }
  return table;
}

constexpr int64_t kSmallestBuffer = int64_t{256} << 20;

// More slices than threads, so that a thread that was held up leaves its share to the others.
constexpr int64_t kSlicesPerThread = 8;

class Prober {
 public:
  Prober(const ProbeTable& table, int threads, const Clock& clock, const ProbeEffort& effort)
      : table_(table),
        clock_(clock),
        effort_(effort),
        pool_(threads),
        slices_(threads * kSlicesPerThread),
        results_(static_cast<size_t>(slices_)) {}

  double read_rate(const float* data, int64_t count) {
    const int64_t slice = (count + slices_ - 1) / slices_;
    return best_rate(static_cast<double>(count) * sizeof(float), [&](int64_t i) {
      const int64_t begin = std::min(i * slice, count);
      return table_.read(data + begin, std::min(slice, count - begin));
    });
  }

  std::optional<double> arithmetic_rate(const ArithmeticLoop& loop) {
    if (loop.run == nullptr) return std::nullopt;
    constexpr int64_t kSteps = 100'000;  // about half a millisecond
    const int64_t operations = loop.operations_per_step * kSteps * slices_;
    return best_rate(static_cast<double>(operations), [&](int64_t) { return loop.run(kSteps); });
  }

 private:
  // Units a second, where one round of all slices does `units`.
  template <typename F>
  double best_rate(double units, F slice) {
    double best = 0;
    for (int window = 0; window < effort_.windows; ++window) {
      const double start = clock_.now();
      double seconds = 0, done = 0;
      do {
        pool_.parallel_for(slices_,
                           [&](int64_t i, int) { results_[static_cast<size_t>(i)] = slice(i); });
        done += units;
        seconds = clock_.now() - start;
      } while (seconds < effort_.window_seconds);
      best = std::max(best, done / seconds);
    }
    return best;
  }

  const ProbeTable& table_;
  const Clock& clock_;
  const ProbeEffort& effort_;
  ThreadPool pool_;
  int64_t slices_;
  std::vector<float> results_;
};

}  // namespace

MachineProbe probe_machine(IsaTier tier, const std::vector<int>& thread_counts, const Clock& clock,
                           const ProbeEffort& effort) {
  if (!can_run(tier)) fail_usage("isa: {} cannot run on this processor", name(tier));
  for (const int threads : thread_counts) {
    if (threads < 1) fail_usage("threads: {} is not positive", threads);
  }
  MachineProbe probe;
  probe.tier = tier;
  probe.buffer_bytes = effort.buffer_bytes > 0 ? effort.buffer_bytes
                                               : std::max(kSmallestBuffer, 4 * cpu_info().l3_bytes);
  const int64_t count = probe.buffer_bytes / static_cast<int64_t>(sizeof(float));
  const auto data = std::make_unique_for_overwrite<float[]>(static_cast<size_t>(count));
  std::fill_n(data.get(), count, 1.0f);  // pages that were never written are all the same page

  const ProbeTable table = probe_table(tier);
  for (const int threads : thread_counts) {
    Prober prober(table, threads, clock, effort);
    ProbeRates rates;
    rates.threads = threads;
    rates.read_bytes = prober.read_rate(data.get(), count);
    rates.f32_operations = prober.arithmetic_rate(table.f32).value();
    rates.bf16_operations = prober.arithmetic_rate(table.bf16_dot);
    rates.int8_operations = prober.arithmetic_rate(table.int8_dot);
    rates.int4_operations = prober.arithmetic_rate(table.int4_dot);
    probe.rates.push_back(rates);
  }
  return probe;
}

}  // namespace ashlar::kernels
