// Paths to handlers: which methods a path has, who may call, and what OPTIONS says.
#pragma once

#include "ashlar/serve/http/exchange.h"
#include "ashlar/serve/http/options.h"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace ashlar::serve {

using Handler = std::function<void(Exchange&)>;

struct Route {
  std::string method;  // GET answers HEAD too
  std::string path;    // one that ends in '/' stands for all paths below it
  Handler handler;
  bool needs_key = true;
};

class Router {
 public:
  // Keeps a reference to the options.
  explicit Router(const HttpOptions& options) : options_(options) {}

  void add(Route route) { routes_.push_back(std::move(route)); }

  // Decides on the header alone: OPTIONS, a page of a foreign origin (403), a missing key (401), an
  // unknown path (404), a wrong method (405). Nothing: the request may go on. Sets request.route.
  std::optional<HttpResponse> screen(HttpRequest& request) const;

  // Runs the handler; screen() has passed the request.
  void handle(Exchange& exchange) const;

 private:
  const Route* find(const HttpRequest& request) const;
  std::string methods(const std::string& path) const;  // "GET, HEAD, OPTIONS"; "" when unknown

  const HttpOptions& options_;
  std::vector<Route> routes_;
};

}  // namespace ashlar::serve
