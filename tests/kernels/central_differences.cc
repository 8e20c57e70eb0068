#include "tests/kernels/central_differences.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace ashlar::kernels {

std::vector<double> central_differences(const Loss& loss, std::vector<double> x, double step) {
  std::vector<double> gradient(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    const double at = x[i];
    x[i] = at + step;
    const double above = loss(x);
    x[i] = at - step;
    const double below = loss(x);
    x[i] = at;
    gradient[i] = (above - below) / (2 * step);
  }
  return gradient;
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

void expect_gradient(const std::vector<double>& gradient, const Loss& loss,
                     const std::vector<double>& x, std::string_view what) {
  const std::vector<double> wanted = central_differences(loss, x);
  ASSERT_EQ(gradient.size(), wanted.size()) << what;
  double largest = 0;
  for (const double w : wanted) largest = std::max(largest, std::abs(w));
  for (size_t i = 0; i < wanted.size(); ++i) {
    ASSERT_NEAR(gradient[i], wanted[i], 1e-6 * largest) << what << ": element " << i;
  }
}

}  // namespace ashlar::kernels
