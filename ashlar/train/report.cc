#include "ashlar/train/report.h"

#include "ashlar/base/atomic_file.h"
#include "ashlar/base/config.h"
#include "ashlar/base/cpu.h"
#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/base/human.h"
#include "ashlar/plan/machine_rates.h"
#include "ashlar/plan/measured_ops.h"
#include "ashlar/schedule/svg.h"
#include "ashlar/train/metrics_log.h"
#include "ashlar/train/model_source.h"
#include "ashlar/train/run_plan.h"
#include "ashlar/train/step_timeline.h"
#include "ashlar/train/svg_chart.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <functional>
#include <optional>
#include <vector>

namespace ashlar::train {
namespace {

using Json = nlohmann::ordered_json;
using Field = std::function<std::optional<double>(const StepMetrics&)>;

constexpr const char* kStyle = R"(
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1340px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: 1rem; }
svg { width: 100%; border: 1px solid #8884; border-radius: 6px; }
.charts svg text { fill: currentColor; font: 11px system-ui, sans-serif; }
.charts svg .title { font-weight: 600; font-size: 13px; } .charts svg .grid { stroke: #8883; }
table { border-collapse: collapse; margin-bottom: 1rem; } td, th { padding: .15rem .8rem .15rem 0; text-align: left; }
pre { overflow-x: auto; padding: 1rem; border: 1px solid #8884; border-radius: 6px; }
)";

Curve curve(const std::string& name, const std::vector<StepMetrics>& steps, const Field& field) {
  Curve result{name, {}};
  for (const StepMetrics& step : steps) {
    if (const auto value = field(step)) {
      result.points.emplace_back(static_cast<double>(step.step), *value);
    }
  }
  return result;
}

std::string loss_chart(const std::vector<StepMetrics>& steps) {
  Curve valid = curve("validation", steps, [](const StepMetrics& m) { return m.valid_loss; });
  if (!steps.empty() && steps.front().valid_loss_start) {
    valid.points.insert(valid.points.begin(), {0.0, *steps.front().valid_loss_start});
  }
  std::vector<Curve> losses = {
      curve("training", steps, [](const StepMetrics& m) { return m.loss; })};
  if (!valid.points.empty()) losses.push_back(std::move(valid));
  return svg_chart("loss", losses);
}

std::string charts(const std::vector<StepMetrics>& steps) {
  std::string html = "<div class=\"charts\">\n" + loss_chart(steps);
  const std::vector<std::pair<const char*, Field>> others = {
      {"learning rate", [](const StepMetrics& m) { return m.lr; }},
      {"gradient norm",
       [](const StepMetrics& m) {
         return m.skipped ? std::nullopt : std::optional<double>(m.grad_norm);
       }},
      {"balance of experts",
       [](const StepMetrics& m) {
         return m.aux_loss > 0 ? std::optional(m.aux_loss) : std::nullopt;
       }},
      {"loss scale", [](const StepMetrics& m) { return m.loss_scale; }},
      {"tokens/s", [](const StepMetrics& m) { return m.tokens_per_s; }},
      {"MFU (%)", [](const StepMetrics& m) { return 100 * m.mfu; }},
      {"step time (ms)", [](const StepMetrics& m) { return m.step_ms; }}};
  for (const auto& [title, field] : others) html += svg_chart(title, {curve(title, steps, field)});
  return html + "</div>\n";
}

std::string row(const std::string& name, const std::string& value) {
  return fmt::format("<tr><th>{}</th><td>{}</td></tr>\n", html_escape(name), html_escape(value));
}

std::string summary(const std::vector<StepMetrics>& steps) {
  const StepMetrics& last = steps.back();
  double seconds = 0;
  std::optional<double> valid;
  for (const StepMetrics& step : steps) {
    seconds += step.step_ms / 1e3;
    if (step.valid_loss) valid = step.valid_loss;
  }
  std::string html = "<table>\n";
  html += row("steps", std::to_string(last.step));
  html += row("tokens", human_count(static_cast<double>(last.tokens)));
  html += row("last loss", fmt::format("{:.4f}", last.loss));
  if (valid) html += row("last validation loss", fmt::format("{:.4f}", *valid));
  html += row("time in steps", human_seconds(seconds));
  html += row("last tokens/s", human_count(last.tokens_per_s));
  html += row("last MFU", fmt::format("{:.1f}%", 100 * last.mfu));
  return html + "</table>\n";
}

// A table for each start of the run.
std::string machines(const std::string& path) {
  if (!is_file(path)) return {};
  const std::string text = read_file(path);
  std::string html = "<h2>Machine</h2>\n";
  size_t begin = 0;
  for (size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    const Json record = Json::parse(text.substr(begin, end - begin), nullptr, false);
    if (!record.is_object()) continue;
    html += "<table>\n";
    for (const auto& [key, value] : record.items()) {
      if (key == "memory") {
        for (const auto& [part, bytes] : value.items()) {
          html += row("memory: " + part, human_bytes(bytes.get<double>()));
        }
      } else {
        html += row(key, value.is_string() ? value.get<std::string>() : value.dump());
      }
    }
    html += "</table>\n";
  }
  return html;
}

// A drawing as a part of the page, where it needs no namespace.
std::string picture(std::string svg) {
  const std::string space = " xmlns=\"http://www.w3.org/2000/svg\"";
  const size_t at = svg.find(space);
  if (at != std::string::npos) svg.erase(at, space.size());
  return svg;
}

// The plan of such a run, here and now; nothing where its tokenizer or model is no longer there.
std::string planned_step(const std::string& config_path, const schedule::DrawOptions& options) {
  try {
    TrainConfig config;
    ConfigTable table(config);
    table.load_file(config_path);
    const kernels::KernelTable& kernels = kernels::kernel_table(best_isa_tier());
    const plan::RankWork work = rank_work(config, model_config(config));
    const SteadyClock clock;
    plan::MeasuredOps timer(work.ranks, work.threads, kernels, clock);
    const RunPlan plan =
        plan_run(config, kernels, {plan::measure_rates(work, kernels, clock), &timer});
    return picture(schedule::to_svg(plan.schedule, plan.timeline, options));
  } catch (const Error& error) {
    return fmt::format("<p>Not planned: {}</p>\n", html_escape(error.what()));
  }
}

// One step as it ran, and as it is planned.
std::string step_pictures(const std::string& run_dir) {
  const std::string path = join_path(run_dir, "timeline.json");
  if (!is_file(path)) return {};
  const MeasuredStep measured = read_timeline(path);
  const auto ranks = static_cast<int>(measured.timeline.ranks.size());
  int microbatches = 1;
  for (const schedule::RankTimeline& rank : measured.timeline.ranks) {
    for (const schedule::Span& span : rank.spans) {
      microbatches = std::max(microbatches, span.instruction.microbatch + 1);
    }
  }
  const schedule::Schedule rows =
      schedule::empty_schedule("measured", schedule::StageMap::linear(ranks), microbatches);
  schedule::DrawOptions options{
      .title = fmt::format("Step {} as it ran", measured.step), .unit = "ms", .unit_seconds = 1e-3};
  std::string html =
      "<h2>A step</h2>\n" + picture(schedule::to_svg(rows, measured.timeline, options));
  options.title = "The same as planned on this machine";
  return html + planned_step(join_path(run_dir, "config.toml"), options);
}

std::vector<StepMetrics> steps_of(const std::string& run_dir) {
  const std::string metrics = join_path(run_dir, "metrics.jsonl");
  ASHLAR_CHECK(is_file(metrics), "report {}: there is no metrics.jsonl; wanted a run folder",
               run_dir);
  std::vector<StepMetrics> steps = read_metrics(metrics);
  ASHLAR_CHECK(!steps.empty(), "report {}: metrics.jsonl holds no step yet", run_dir);
  return steps;
}

}  // namespace

std::string report_html(const std::string& run_dir) {
  const std::vector<StepMetrics> steps = steps_of(run_dir);
  const std::string config = join_path(run_dir, "config.toml");
  std::string html = fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width\">\n<title>{0}</title>\n"
      "<style>{1}</style>\n</head>\n<body>\n<h1>{0}</h1>\n",
      html_escape(file_name(run_dir)), kStyle);
  html += summary(steps) + charts(steps) + step_pictures(run_dir);
  if (is_file(config)) {
    html += "<h2>Configuration</h2>\n<pre>" + html_escape(read_file(config)) + "</pre>\n";
  }
  return html + machines(join_path(run_dir, "record.jsonl")) + "</body>\n</html>\n";
}

std::string write_report(const std::string& run_dir, const std::string& out) {
  const std::string path = out.empty() ? join_path(run_dir, "report.html") : out;
  const bool picture = path.ends_with(".svg");
  write_file(path, picture ? svg_file(loss_chart(steps_of(run_dir))) : report_html(run_dir),
             "report");
  return path;
}

}  // namespace ashlar::train
