// What Prometheus sees of serving, under vLLM's names, so that its dashboards and schedulers fit.
// Histograms and the counters of requests are fed by the HTTP layer; gauges and the counters of
// tokens are the engine's own, read at each scrape.
#pragma once

#include "ashlar/serve/backend.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ashlar::serve {

// One request for text, when it is over.
struct GenerationRecord {
  Usage usage;
  Timings timings;
  double seconds = 0;
  int n = 1;
  std::optional<int64_t> max_tokens;
  std::vector<FinishReason> reasons;  // of each choice
};

// Thread-safe.
class Metrics {
 public:
  explicit Metrics(const std::string& model_name);
  ~Metrics();

  // `route` is the pattern that matched, "" for none: few values, whatever clients ask for.
  void http_request(std::string_view method, std::string_view route, int status, double seconds);

  void first_token(double seconds);     // since the request came
  void between_tokens(double seconds);  // since the choice's token before
  void finished(const GenerationRecord& record);
  void aborted();  // the client went away, or the server did
  void failed();

  std::string text(const EngineStats& stats) const;  // the exposition format

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ashlar::serve
