#include "ashlar/kernels/moe_assign.h"

#include "ashlar/base/philox.h"

#include <algorithm>
#include <cmath>

namespace ashlar::kernels {

int64_t moe_capacity(int64_t tokens, int64_t experts, int64_t top_k, double factor) {
  const double fair = static_cast<double>(top_k * tokens) / static_cast<double>(experts);
  return static_cast<int64_t>(std::ceil(fair * factor));
}

bool keeps_second(const MoeAssignSpec& spec, int64_t t, double weight) {
  const uint64_t element = spec.first_token + static_cast<uint64_t>(t);
  const auto low = static_cast<uint32_t>(element / 4);
  const auto high = static_cast<uint32_t>(element / 4 >> 32);
  const PhiloxBlock words = philox4x32(spec.key, {low, high, static_cast<uint32_t>(spec.step),
                                                  static_cast<uint32_t>(spec.step >> 32)});
  return static_cast<double>(words[element % 4]) * 0x1p-32 < 2 * weight;
}

namespace {

// f(run's index, run).
template <typename F>
void each_run(const MoeAssignSpec& spec, const F& f) {
  if (spec.runs.empty()) return f(int64_t{0}, TokenRun{0, 0, spec.tokens});
  for (size_t i = 0; i < spec.runs.size(); ++i) f(static_cast<int64_t>(i), spec.runs[i]);
}

// f(pair) for the pairs of one choice in a run that take a row if there is one.
template <typename F>
void each_pair(const MoeAssignSpec& spec, const float* weights, const TokenRun& run, int64_t choice,
               const F& f) {
  for (int64_t i = 0; i < run.count; ++i) {
    const int64_t pair = (run.local + i) * spec.top_k + choice;
    const bool wants = !spec.random_second || choice != 1 ||
                       keeps_second(spec, run.first + i, static_cast<double>(weights[pair]));
    if (wants) f(pair);
  }
}

}  // namespace

void moe_count(const MoeAssignSpec& spec, const int32_t* chosen, const float* weights,
               int32_t* counts) {
  each_run(spec, [&](int64_t index, const TokenRun& run) {
    for (int64_t c = 0; c < spec.top_k; ++c) {
      int32_t* of_choice = counts + (index * spec.top_k + c) * spec.experts;
      std::fill_n(of_choice, spec.experts, 0);
      each_pair(spec, weights, run, c, [&](int64_t pair) { ++of_choice[chosen[pair]]; });
    }
  });
}

void moe_assign(const MoeAssignSpec& spec, const int32_t* chosen, const float* weights,
                const MoeAssignment& out) {
  const int64_t pairs = spec.tokens * spec.top_k;
  // offsets[e + 1] counts expert e's pairs until they are summed up.
  std::fill_n(out.offsets, spec.experts + 1, 0);
  std::fill_n(out.slots, pairs, -1);
  for (int64_t c = 0; c < spec.top_k; ++c) {
    each_run(spec, [&](int64_t index, const TokenRun& run) {
      // Alone, those that took a row are those that would: where they differ, both are beyond it.
      int32_t* before = spec.before == nullptr
                            ? out.offsets + 1
                            : spec.before + (index * spec.top_k + c) * spec.experts;
      each_pair(spec, weights, run, c, [&](int64_t pair) {
        const int32_t expert = chosen[pair];
        const bool kept = spec.capacity == 0 || before[expert] < spec.capacity;
        if (kept) out.slots[pair] = 0;
        out.offsets[expert + 1] += kept;
        if (spec.before != nullptr) ++before[expert];
      });
    });
  }
  for (int64_t e = 0; e < spec.experts; ++e) out.offsets[e + 1] += out.offsets[e];
  // offsets[e] serves as the expert's next row, and is then where the expert's rows end.
  for (int64_t pair = 0; pair < pairs; ++pair) {
    if (out.slots[pair] < 0) continue;
    const int32_t row = out.offsets[chosen[pair]]++;
    out.slots[pair] = row;
    out.sources[row] = static_cast<int32_t>(pair);
  }
  for (int64_t e = spec.experts; e > 0; --e) out.offsets[e] = out.offsets[e - 1];
  out.offsets[0] = 0;
  std::fill(out.sources + out.offsets[spec.experts], out.sources + pairs, -1);
}

}  // namespace ashlar::kernels
