#include "ashlar/serve/http/router.h"

#include "ashlar/serve/http/auth.h"
#include "ashlar/serve/http/connection.h"
#include "ashlar/serve/http/cors.h"
#include "ashlar/serve/protocol/errors.h"

#include <utility>

namespace ashlar::serve {
namespace {

bool path_matches(const Route& route, const std::string& path) {
  if (route.path.ends_with('/')) {
    return path.size() > route.path.size() && path.starts_with(route.path);
  }
  return path == route.path;
}

bool method_matches(const Route& route, const std::string& method) {
  return route.method == method || (route.method == "GET" && method == "HEAD");
}

}  // namespace

const Route* Router::find(const HttpRequest& request) const {
  for (const Route& route : routes_) {
    if (path_matches(route, request.path) && method_matches(route, request.method)) return &route;
  }
  return nullptr;
}

std::string Router::methods(const std::string& path) const {
  std::string list;
  for (const Route& route : routes_) {
    if (path != "*" && !path_matches(route, path)) continue;
    const std::string names = route.method == "GET" ? "GET, HEAD" : route.method;
    if (list.find(names) == std::string::npos) list += names + ", ";
  }
  return list.empty() ? "" : list + "OPTIONS";
}

std::optional<HttpResponse> Router::screen(HttpRequest& request) const {
  const std::string allowed = methods(request.path);
  if (request.method == "OPTIONS" && !allowed.empty()) {
    return options_response(request, allowed, options_.allowed_origins);
  }
  const std::string_view origin = request.header("Origin");
  if (!origin.empty() && !same_origin(request) &&
      !origin_allowed(origin, options_.allowed_origins)) {
    return error_response(client_error(
        403, "origin_not_allowed",
        fmt::format("pages from {} may not call this server; allow it with --allowed-origins",
                    origin)));
  }
  const Route* route = find(request);
  if (route != nullptr) request.route = route->path;
  if ((route == nullptr || route->needs_key) && !has_key(request, options_.api_keys)) {
    HttpResponse response = error_response(
        client_error(401, "invalid_api_key",
                     "the API key is missing or wrong; send it as 'Authorization: Bearer KEY'"));
    response.headers.emplace_back("WWW-Authenticate", "Bearer");
    return response;
  }
  if (route != nullptr) return std::nullopt;
  if (allowed.empty()) {
    return error_response(
        client_error(404, "unknown_url", fmt::format("no such path: {}", request.path)));
  }
  HttpResponse response = error_response(client_error(
      405, "method_not_allowed",
      fmt::format("{} does not take {}; it takes {}", request.path, request.method, allowed)));
  response.headers.emplace_back("Allow", allowed);
  return response;
}

void Router::handle(Exchange& exchange) const { find(exchange.request())->handler(exchange); }

}  // namespace ashlar::serve
