#include "ashlar/train/metrics_log.h"

#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/base/json.h"

#include <nlohmann/json.hpp>

#include <limits>

namespace ashlar::train {
namespace {

using Json = nlohmann::ordered_json;

StepMetrics from_json(const Json& json, const std::string& where) {
  try {
    StepMetrics m;
    m.step = json.at("step").get<int64_t>();
    m.loss = json.at("loss").get<double>();
    m.aux_loss = json.value("aux_loss", 0.0);
    const Json& norm = json.at("grad_norm");  // JSON has no infinity
    m.grad_norm = norm.is_null() ? std::numeric_limits<double>::infinity() : norm.get<double>();
    m.lr = json.at("lr").get<double>();
    m.tokens = json.value("tokens", int64_t{0});
    m.epoch = json.value("epoch", 0.0);
    m.tokens_per_s = json.value("tokens_per_s", 0.0);
    m.mfu = json.value("mfu", 0.0);
    m.step_ms = json.value("step_ms", 0.0);
    if (json.contains("loss_scale")) m.loss_scale = json.at("loss_scale").get<double>();
    m.skipped = json.value("skipped", false);
    if (json.contains("valid_loss")) m.valid_loss = json.at("valid_loss").get<double>();
    if (json.contains("valid_loss_start")) {
      m.valid_loss_start = json.at("valid_loss_start").get<double>();
    }
    return m;
  } catch (const Json::exception& error) {
    fail("{}: not a step of a run: {}", where, error.what());
  }
}

// Bytes of the whole lines of steps up to last_step.
int64_t bytes_to_keep(const std::string& path, int64_t last_step) {
  if (last_step == 0 || !is_file(path)) return 0;
  const std::string text = read_file(path);
  size_t kept = 0;
  for (size_t end; (end = text.find('\n', kept)) != std::string::npos; kept = end + 1) {
    const Json line = Json::parse(text.begin() + static_cast<std::ptrdiff_t>(kept),
                                  text.begin() + static_cast<std::ptrdiff_t>(end), nullptr, false);
    if (!line.is_object() || !line.contains("step") || !line["step"].is_number_integer() ||
        line["step"].get<int64_t>() > last_step) {
      break;
    }
  }
  return static_cast<int64_t>(kept);
}

// Cuts the file before it is opened to go on.
const std::string& cut(const std::string& path, int64_t last_step) {
  if (is_file(path)) {
    truncate_file(path, bytes_to_keep(path, last_step));
    sync_path(path);
  }
  return path;
}

}  // namespace

std::string StepMetrics::to_json() const {
  Json json = {
      {"step", step}, {"loss", loss},      {"aux_loss", aux_loss}, {"grad_norm", grad_norm},
      {"lr", lr},     {"tokens", tokens},  {"epoch", epoch},       {"tokens_per_s", tokens_per_s},
      {"mfu", mfu},   {"step_ms", step_ms}};
  if (loss_scale) json["loss_scale"] = *loss_scale;
  if (skipped) json["skipped"] = true;
  if (valid_loss) json["valid_loss"] = *valid_loss;
  if (valid_loss_start) json["valid_loss_start"] = *valid_loss_start;
  if (!comm_share.empty()) json["comm_share"] = comm_share;
  if (!comm_bytes.empty()) json["comm_bytes"] = comm_bytes;
  if (slowest_rank) json["slowest_rank"] = *slowest_rank;
  return json.dump();
}

std::vector<StepMetrics> read_metrics(const std::string& path) {
  const std::string text = read_file(path);
  std::vector<StepMetrics> steps;
  size_t begin = 0;
  for (size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    const std::string where = fmt::format("{}:{}", path, steps.size() + 1);
    steps.push_back(from_json(
        parse_json<Json>(std::string_view(text).substr(begin, end - begin), where), where));
  }
  return steps;
}

StepLog::StepLog(const std::string& path, int64_t last_step)
    : file_(cut(path, last_step), {.append = true, .label = file_name(path)}) {}

void StepLog::write(const std::string& json) {
  file_.write(json + "\n");
  file_.flush();
}

}  // namespace ashlar::train
