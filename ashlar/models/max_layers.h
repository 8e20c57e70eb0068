// The most layers a model may have, far beyond any there is: lists with an entry for each layer are
// made of a file's word before its configuration is whole.
#pragma once

#include <cstdint>

namespace ashlar::models {

inline constexpr int64_t kMaxLayers = 10'000;

}  // namespace ashlar::models
