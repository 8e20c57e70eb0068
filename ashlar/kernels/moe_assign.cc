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

void moe_assign(const MoeAssignSpec& spec, const int32_t* chosen, const float* weights,
                const MoeAssignment& out) {
  const int64_t pairs = spec.tokens * spec.top_k;
  // offsets[e + 1] counts expert e's pairs until they are summed up.
  std::fill_n(out.offsets, spec.experts + 1, 0);
  for (int64_t c = 0; c < spec.top_k; ++c) {
    for (int64_t t = 0; t < spec.tokens; ++t) {
      const int64_t pair = t * spec.top_k + c;
      int32_t& count = out.offsets[chosen[pair] + 1];
      const bool kept = (spec.capacity == 0 || count < spec.capacity) &&
                        (!spec.random_second || c != 1 ||
                         keeps_second(spec, t, static_cast<double>(weights[pair])));
      out.slots[pair] = kept ? 0 : -1;
      count += kept;
    }
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
