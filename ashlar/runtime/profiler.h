// Records when each op ran and what it cost, and writes the Trace Event format that Perfetto and
// chrome://tracing open: one bar an op, with FLOPs and bytes.
#pragma once

#include "ashlar/base/clock.h"
#include "ashlar/graph/graph.h"

#include <string>
#include <vector>

namespace ashlar::runtime {

class Profiler {
 public:
  struct Record {
    const graph::Node* node;
    graph::Cost cost;
    double start, end;  // seconds
    double waited = 0;  // of that for other ranks
  };

  // Keeps the first `max_records` ops, so that a long run cannot fill memory.
  explicit Profiler(const Clock& clock, size_t max_records = 1'000'000);

  double now() const { return clock_.now(); }
  void record(const Record& record);
  const std::vector<Record>& records() const { return records_; }
  void write_trace(const std::string& path) const;  // whole or not at all

 private:
  const Clock& clock_;
  size_t max_records_;
  std::vector<Record> records_;
};

}  // namespace ashlar::runtime
