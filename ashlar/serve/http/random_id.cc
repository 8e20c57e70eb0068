#include "ashlar/serve/http/random_id.h"

#include "ashlar/base/error.h"

#include <openssl/rand.h>

#include <algorithm>
#include <array>

namespace ashlar::serve {

std::string random_id(std::string_view prefix) {
  std::array<unsigned char, 12> bytes;
  ASHLAR_CHECK(RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) == 1,
               "the system's random source gives nothing");
  std::string id(prefix);
  for (const unsigned char byte : bytes) id += fmt::format("{:02x}", byte);
  return id;
}

bool acceptable_id(std::string_view id) {
  constexpr size_t kLongest = 128;
  return !id.empty() && id.size() <= kLongest && std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  });
}

}  // namespace ashlar::serve
