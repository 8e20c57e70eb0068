// The routes: what the server offers under each path.
#pragma once

#include "ashlar/base/clock.h"
#include "ashlar/serve/backend.h"
#include "ashlar/serve/http/io_post.h"
#include "ashlar/serve/http/router.h"
#include "ashlar/serve/metrics.h"
#include "ashlar/serve/protocol/rules.h"

#include <functional>
#include <memory>
#include <string>

namespace ashlar::serve {

// What handlers work with; all of it outlives them.
struct ApiParts {
  Backend& backend;
  Metrics& metrics;
  const Clock& clock;
  std::shared_ptr<IoPost> post;
  double health_stall_s;
  std::function<bool()> draining;
};

void add_api_routes(Router& router, ApiParts parts);

// The model a request names ("" is the default). Throws RequestError (kModelNotFound).
ModelInfo find_model(const Backend& backend, const std::string& name);

// Bounds for requests to this backend.
RequestRules rules_for(const Backend& backend);

// Throws RequestError when nothing can be asked of the backend: loading, dead, draining.
void check_ready(const ApiParts& parts);

}  // namespace ashlar::serve
