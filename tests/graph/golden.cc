#include "tests/graph/golden.h"

#include "ashlar/base/json.h"
#include "tests/base/paths.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <numeric>

namespace ashlar::graph {

std::map<std::string, Digest> read_golden(const std::string& name) {
  const auto file = read_json<nlohmann::json>(test_data("goldens/") + name + ".json");
  std::map<std::string, Digest> digests;
  for (const auto& [key, value] : file.at("values").items()) {
    Digest& digest = digests[key];
    value.at("shape").get_to(digest.shape);
    value.at("norm").get_to(digest.norm);
    value.at("first").get_to(digest.first);
    value.at("last").get_to(digest.last);
    value.at("stride").get_to(digest.stride);
    value.at("sample").get_to(digest.sample);
  }
  return digests;
}

void expect_digest(const std::vector<double>& found, const Digest& wanted, double tolerance,
                   const std::string& what) {
  const auto elements =
      std::accumulate(wanted.shape.begin(), wanted.shape.end(), int64_t{1}, std::multiplies<>());
  ASSERT_EQ(static_cast<int64_t>(found.size()), elements) << what;
  double squares = 0;
  for (const double value : found) squares += value * value;
  EXPECT_NEAR(std::sqrt(squares), wanted.norm, tolerance * wanted.norm) << what << ": norm";

  const double rms = wanted.norm / std::sqrt(static_cast<double>(elements));
  const auto check = [&](size_t place, double value) {
    EXPECT_NEAR(found[place], value, tolerance * std::max(rms, std::abs(value)))
        << what << "[" << place << "]";
  };
  for (size_t i = 0; i < wanted.first.size(); ++i) check(i, wanted.first[i]);
  for (size_t i = 0; i < wanted.last.size(); ++i) {
    check(found.size() - wanted.last.size() + i, wanted.last[i]);
  }
  for (size_t i = 0; i < wanted.sample.size(); ++i) check(i * wanted.stride, wanted.sample[i]);
}

void expect_golden(const RunResult& found, const std::map<std::string, Digest>& golden,
                   double tolerance, const std::string& what) {
  ASSERT_FALSE(golden.empty());
  for (const auto& [name, digest] : golden) {
    const auto output = found.outputs.find(name);
    const auto gradient = name.starts_with("d_") ? found.variables.find(name.substr(2) + ".grad")
                                                 : found.variables.find(name);
    const bool is_output = output != found.outputs.end();
    ASSERT_TRUE(is_output || gradient != found.variables.end()) << what << " lacks " << name;
    const auto& values = is_output ? output->second.values : gradient->second.values;
    expect_digest(values, digest, tolerance, what + ": " + name);
  }
}

}  // namespace ashlar::graph
