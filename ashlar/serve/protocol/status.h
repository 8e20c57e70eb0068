// What a server says of itself: models, health, version.
#pragma once

#include "ashlar/serve/backend.h"

#include <string>
#include <vector>

namespace ashlar::serve {

// "ashlar-0.1.0-<weight version>": which build and which weights gave an answer.
std::string fingerprint(const std::string& weight_version);

std::string models_body(const std::vector<ModelInfo>& models);
std::string model_body(const ModelInfo& model);

struct HealthReport {
  bool healthy = false;  // 200, else 503
  std::string body;
};

// Healthy is live, ready, making progress (not stalled for `stall_limit_s`) and not draining.
HealthReport health_report(const Health& health, const EngineStats& stats, double stall_limit_s,
                           bool draining);

std::string version_body();

}  // namespace ashlar::serve
