#include "ashlar/models/encoder_config.h"

#include "ashlar/base/error.h"

#include <utility>

namespace ashlar::models {
namespace {

// Far beyond any model there is, so that a broken config.json is refused before memory is asked
// for.
constexpr int64_t kMaxLayers = 10'000;
constexpr int64_t kMaxWidth = int64_t{1} << 24;
constexpr int64_t kMaxRows = int64_t{1} << 28;

void check_rope(const std::string& where, const RopeConfig& rope, int64_t head_dim) {
  ASHLAR_CHECK(rope.rotary_dim > 0 && rope.rotary_dim % 2 == 0 && rope.rotary_dim <= head_dim,
               "{}: {} rotary channels of a head of size {}, wanted an even number up to it", where,
               rope.rotary_dim, head_dim);
  ASHLAR_CHECK(rope.theta > 0, "{}: rope theta {} is not positive", where, rope.theta);
}

}  // namespace

void EncoderConfig::validate(const std::string& where) const {
  const std::pair<std::pair<const char*, int64_t>, int64_t> sizes[] = {
      {{"vocabulary size", vocab}, kMaxRows},
      {{"width", width}, kMaxWidth},
      {{"number of layers", layers}, kMaxLayers},
      {{"number of heads", heads}, kMaxWidth},
      {{"head size", head_dim}, kMaxWidth},
      {{"MLP width", ffn}, kMaxWidth},
      {{"number of positions", max_positions}, kMaxRows}};
  for (const auto& [size, limit] : sizes) {
    const auto& [what, value] = size;
    ASHLAR_CHECK(value > 0 && value <= limit, "{}: {} is {}, wanted 1 to {}", where, what, value,
                 limit);
  }
  ASHLAR_CHECK(heads * head_dim <= kMaxWidth, "{}: {} heads of size {} are more than {} channels",
               where, heads, head_dim, kMaxWidth);
  ASHLAR_CHECK(norm_eps > 0, "{}: norm epsilon {} is not positive", where, norm_eps);
  ASHLAR_CHECK(local.empty() || static_cast<int64_t>(local.size()) == layers,
               "{}: {} layers with a kind of attention, the model has {}", where, local.size(),
               layers);
  ASHLAR_CHECK(local.empty() || window > 0, "{}: a window of {} tokens, wanted at least 1", where,
               window);
  if (positions != Positions::kRotary) return;
  check_rope(where, rope, head_dim);
  if (!local.empty()) check_rope(where, local_rope, head_dim);
}

}  // namespace ashlar::models
