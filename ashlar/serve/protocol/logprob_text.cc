#include "ashlar/serve/protocol/logprob_text.h"

#include "ashlar/base/utf8.h"

#include <fmt/format.h>

#include <algorithm>

namespace ashlar::serve {

double finite_logprob(double logprob) {
  constexpr double kImpossible = -9999;
  return logprob > kImpossible ? logprob : kImpossible;  // NaN too
}

std::string token_text(const std::string& bytes) {
  if (valid_utf8_prefix(bytes) == bytes.size()) return bytes;
  std::string text = "bytes:";
  for (const char c : bytes) text += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  return text;
}

JsonArray byte_values(const std::string& bytes) {
  JsonArray values;
  for (const char c : bytes) values.emplace_back(static_cast<unsigned char>(c));
  return values;
}

int64_t count_characters(std::string_view bytes) {
  return std::count_if(bytes.begin(), bytes.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

}  // namespace ashlar::serve
