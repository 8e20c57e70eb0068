#include "ashlar/data/masking.h"

#include "ashlar/base/philox.h"

#include <algorithm>

namespace ashlar::data {
namespace {

double uniform(uint32_t word) { return static_cast<double>(word) * 0x1.0p-32; }

int32_t below(uint32_t word, int64_t bound) {
  return static_cast<int32_t>((uint64_t{word} * static_cast<uint64_t>(bound)) >> 32);
}

}  // namespace

int64_t Masking::hide(uint64_t seed, int64_t row, Batch& batch, int64_t at) const {
  const RandomStream random_words(seed, "masking", static_cast<uint64_t>(row));
  int64_t hidden = 0;
  for (int64_t place = 0; place < batch.seq; ++place) {
    const auto i = static_cast<size_t>(at * batch.seq + place);
    int32_t& token = batch.tokens[i];
    const PhiloxBlock words = random_words.block(static_cast<uint64_t>(place));
    const bool counts = batch.targets[i] >= 0 && !std::ranges::binary_search(special, token);
    if (!counts || uniform(words[0]) >= probability) {
      batch.targets[i] = -1;
      continue;
    }
    ++hidden;
    const double kind = uniform(words[1]);
    if (kind < mask) {
      token = mask_token;
    } else if (kind < mask + random) {
      token = below(words[2], vocab);
    }
  }
  return hidden;
}

}  // namespace ashlar::data
