#include "ashlar/serve/http/cors.h"

#include <algorithm>

namespace ashlar::serve {
namespace {

bool matches(std::string_view origin, std::string_view pattern) {
  if (pattern == "*" || same_text(origin, pattern)) return true;
  if (!pattern.ends_with(":*")) return false;
  const std::string_view stem = pattern.substr(0, pattern.size() - 1);  // with the colon
  if (origin.size() <= stem.size() || !same_text(origin.substr(0, stem.size()), stem)) return false;
  const std::string_view port = origin.substr(stem.size());
  return std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

bool origin_allowed(std::string_view origin, std::span<const std::string> allowed) {
  return std::any_of(allowed.begin(), allowed.end(),
                     [&](const std::string& pattern) { return matches(origin, pattern); });
}

bool same_origin(const HttpRequest& request) {
  std::string_view origin = request.header("Origin");
  const size_t scheme = origin.find("://");
  if (scheme == std::string_view::npos) return false;
  return same_text(origin.substr(scheme + 3), request.header("Host"));
}

HttpHeaders cors_headers(const HttpRequest& request, std::span<const std::string> allowed) {
  const std::string_view origin = request.header("Origin");
  if (origin.empty() || !origin_allowed(origin, allowed)) return {};
  return {{"Access-Control-Allow-Origin", std::string(origin)},
          {"Access-Control-Expose-Headers", "x-request-id, Retry-After"},
          {"Vary", "Origin"}};
}

HttpResponse options_response(const HttpRequest& request, std::string_view methods,
                              std::span<const std::string> allowed) {
  HttpResponse response;
  response.status = 204;
  response.headers.emplace_back("Allow", std::string(methods));
  if (cors_headers(request, allowed).empty()) return response;
  std::string_view wanted = request.header("Access-Control-Request-Headers");
  response.headers.emplace_back("Access-Control-Allow-Methods", std::string(methods));
  response.headers.emplace_back("Access-Control-Allow-Headers", wanted.empty()
                                                                    ? "Authorization, Content-Type"
                                                                    : std::string(wanted));
  response.headers.emplace_back("Access-Control-Max-Age", "600");
  return response;
}

}  // namespace ashlar::serve
