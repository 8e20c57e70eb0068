// What is seen of a model that loads: /health tells it, a progress line shows it where it takes
// time, and a server that is told to stop meanwhile stops loading.
#pragma once

#include "ashlar/base/clock.h"
#include "ashlar/base/progress.h"
#include "ashlar/serve/http/server.h"
#include "ashlar/serve/loading_backend.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ashlar::cli {

// Thrown out of loading.
struct LoadingStopped {};

class ServeLoading {
 public:
  // bytes: of the weights. All outlive this.
  ServeLoading(serve::LoadingBackend& backend, const serve::HttpServer& server, const Clock& clock,
               int64_t bytes)
      : backend_(backend), server_(server), clock_(clock), bytes_(bytes) {}

  void operator()(std::string_view stage, double fraction);

 private:
  serve::LoadingBackend& backend_;
  const serve::HttpServer& server_;
  const Clock& clock_;
  const int64_t bytes_;
  std::string stage_;
  double began_ = 0;
  std::optional<Progress> progress_;
};

}  // namespace ashlar::cli
