// Base 64 (RFC 4648, section 4), padded.
#pragma once

#include <string>
#include <string_view>

namespace ashlar {

std::string to_base64(std::string_view bytes);
// Error, "is not base64: ...", for a length that is no multiple of 4 or another character.
std::string from_base64(std::string_view text);

}  // namespace ashlar
