// A run folder as one HTML page that needs nothing else: curves as SVG, configuration, machine.
#pragma once

#include <string>

namespace ashlar::train {

// Throws Error where the folder holds no metrics.jsonl.
std::string report_html(const std::string& run_dir);
// Writes RUN/report.html, or `out` where it is given; returns the path. A name that ends in .svg
// gets the loss curve alone.
std::string write_report(const std::string& run_dir, const std::string& out = "");

}  // namespace ashlar::train
