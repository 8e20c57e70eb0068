// Gradients by central differences in double: the check of every backward reference.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

namespace ashlar::kernels {

using Loss = std::function<double(const std::vector<double>&)>;

// d loss / d x[i] = (loss(x + h e_i) - loss(x - h e_i)) / 2h.
std::vector<double> central_differences(const Loss& loss, std::vector<double> x,
                                        double step = 1e-5);

double dot(const std::vector<double>& a, const std::vector<double>& b);

// Expects gradient to be that of loss at x, to 1e-6 of the largest of its elements.
void expect_gradient(const std::vector<double>& gradient, const Loss& loss,
                     const std::vector<double>& x, std::string_view what);

}  // namespace ashlar::kernels
