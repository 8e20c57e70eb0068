#include "ashlar/runtime/profiler.h"

#include "ashlar/base/atomic_file.h"

#include <nlohmann/json.hpp>

namespace ashlar::runtime {

Profiler::Profiler(const Clock& clock, size_t max_records)
    : clock_(clock), max_records_(max_records) {}

void Profiler::record(const Record& record) {
  if (records_.size() < max_records_) records_.push_back(record);
}

void Profiler::write_trace(const std::string& path) const {
  nlohmann::json events = nlohmann::json::array();
  const double origin = records_.empty() ? 0 : records_.front().start;
  for (const Record& record : records_) {
    const double seconds = record.end - record.start;
    events.push_back({{"name", record.node->name},
                      {"cat", graph::name(record.node->phase)},
                      {"ph", "X"},
                      {"pid", 0},
                      {"tid", 0},
                      {"ts", (record.start - origin) * 1e6},
                      {"dur", seconds * 1e6},
                      {"args",
                       {{"op", record.node->op->kind()},
                        {"layer", record.node->layer},
                        {"flops", record.cost.flops},
                        {"bytes", record.cost.bytes},
                        {"waited_us", record.waited * 1e6},
                        {"gflops_per_s", seconds > 0 ? record.cost.flops / seconds / 1e9 : 0},
                        {"gbytes_per_s", seconds > 0 ? record.cost.bytes / seconds / 1e9 : 0}}}});
  }
  const nlohmann::json trace = {{"traceEvents", std::move(events)}, {"displayTimeUnit", "ms"}};
  write_file(path, trace.dump(), "trace");
}

}  // namespace ashlar::runtime
