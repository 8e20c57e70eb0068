// A line chart as SVG text: for reports that open without anything else.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace ashlar::train {

struct Curve {
  std::string name;
  std::vector<std::pair<double, double>> points;  // by rising x
};

// Long curves are drawn by the means of their stretches, at most one a pixel or so.
std::string svg_chart(const std::string& title, const std::vector<Curve>& curves);

// The chart as a file of its own, with its colors; inside a page they are the page's.
std::string svg_file(const std::string& chart);

std::string html_escape(const std::string& text);

}  // namespace ashlar::train
