// The most layers a model may have, twice as many as any that was published (DeepNet, Wang et al.
// 2022): lists with an entry for each layer are made of a file's word before its configuration is
// whole.
#pragma once

#include <cstdint>

namespace ashlar::models {

inline constexpr int64_t kMaxLayers = 2'000;

}  // namespace ashlar::models
