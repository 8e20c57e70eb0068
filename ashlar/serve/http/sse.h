// Server-sent events, as OpenAI streams them.
#pragma once

#include <string>
#include <string_view>

namespace ashlar::serve {

inline constexpr std::string_view kSseDone = "data: [DONE]\n\n";
inline constexpr std::string_view kSsePing = ": ping\n\n";  // a comment: keeps the way open

// `json` must be on one line.
inline void append_sse(std::string& out, std::string_view json) {
  out += "data: ";
  out += json;
  out += "\n\n";
}

}  // namespace ashlar::serve
