#include "ashlar/serve/protocol/status.h"

#include "ashlar/base/version.h"
#include "ashlar/serve/protocol/json_value.h"

#include <fmt/format.h>

namespace ashlar::serve {
namespace {

JsonObject model_object(const ModelInfo& model) {
  return {{"id", model.id},
          {"object", "model"},
          {"created", model.created},
          {"owned_by", "ashlar"},
          {"max_model_len", model.context_length},
          {"weight_version", model.weight_version}};
}

}  // namespace

std::string fingerprint(const std::string& weight_version) {
  return weight_version.empty() ? fmt::format("ashlar-{}", version())
                                : fmt::format("ashlar-{}-{}", version(), weight_version);
}

std::string models_body(const std::vector<ModelInfo>& models) {
  JsonArray data;
  for (const ModelInfo& model : models) data.emplace_back(model_object(model));
  return to_text(JsonObject{{"object", "list"}, {"data", std::move(data)}});
}

std::string model_body(const ModelInfo& model) { return to_text(model_object(model)); }

HealthReport health_report(const Health& health, const EngineStats& stats, double stall_limit_s,
                           bool draining) {
  const bool progress = health.stalled_s < stall_limit_s;
  HealthReport report;
  report.healthy = health.live && health.ready && progress && !draining;
  const char* status = !health.live    ? "dead"
                       : draining      ? "draining"
                       : !health.ready ? "loading model"
                       : !progress     ? "stalled"
                                       : "ok";
  JsonObject body{
      {"status", status},        {"live", health.live},           {"ready", health.ready},
      {"progress", progress},    {"stalled_s", health.stalled_s}, {"running", stats.running},
      {"waiting", stats.waiting}};
  if (!health.ready) {
    body.push_back({"stage", health.stage});
    body.push_back({"fraction", health.fraction});
  }
  if (!health.problem.empty()) body.push_back({"problem", health.problem});
  report.body = to_text(std::move(body));
  return report;
}

std::string version_body() {
  return to_text(JsonObject{{"version", version()}, {"revision", revision()}});
}

}  // namespace ashlar::serve
