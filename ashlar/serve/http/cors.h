// Which web pages may call the server (cross-origin requests).
#pragma once

#include "ashlar/serve/http/message.h"

#include <span>
#include <string>
#include <string_view>

namespace ashlar::serve {

// `allowed` holds "*", origins ("https://app.example"), or origins that end in ":*" (any port).
bool origin_allowed(std::string_view origin, std::span<const std::string> allowed);

// The page was loaded from this very server.
bool same_origin(const HttpRequest& request);

// What a browser wants to see; empty when the request has no Origin, or one that is not allowed.
HttpHeaders cors_headers(const HttpRequest& request, std::span<const std::string> allowed);

// The answer to OPTIONS: the methods of a path, and CORS's terms where they apply.
HttpResponse options_response(const HttpRequest& request, std::string_view methods,
                              std::span<const std::string> allowed);

}  // namespace ashlar::serve
