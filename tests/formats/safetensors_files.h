// Safetensors files made by hand, right and wrong.
#pragma once

#include "ashlar/base/atomic_file.h"

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace ashlar::testing {

// Length, header, data; `length` may lie.
inline std::string raw_file(uint64_t length, std::string_view header, std::string_view data) {
  std::string file(sizeof(length), '\0');
  std::memcpy(file.data(), &length, sizeof(length));
  return file.append(header).append(data);
}
inline std::string raw_file(std::string_view header, std::string_view data) {
  return raw_file(header.size(), header, data);
}

}  // namespace ashlar::testing
