#include "ashlar/serve/http/auth.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <array>

namespace ashlar::serve {
namespace {

using Digest = std::array<unsigned char, SHA256_DIGEST_LENGTH>;

// Digests have one length, whatever was sent.
Digest digest(std::string_view text) {
  Digest result;
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), result.data());
  return result;
}

std::string_view sent_key(const HttpRequest& request) {
  constexpr std::string_view kScheme = "Bearer ";
  const std::string_view value = request.header("Authorization");
  if (value.size() > kScheme.size() && same_text(value.substr(0, kScheme.size()), kScheme)) {
    return value.substr(kScheme.size());
  }
  return request.header("x-api-key");
}

}  // namespace

bool has_key(const HttpRequest& request, std::span<const std::string> keys) {
  if (keys.empty()) return true;
  const Digest sent = digest(sent_key(request));
  bool found = false;
  for (const std::string& key : keys) {  // all of them: no early end
    const Digest known = digest(key);
    found |= CRYPTO_memcmp(sent.data(), known.data(), known.size()) == 0;
  }
  return found;
}

}  // namespace ashlar::serve
