#include "ashlar/kernels/ref/muon.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace ashlar::kernels::ref {
namespace {

struct Matrix {
  int64_t rows, cols;
  std::vector<double> data;

  Matrix(int64_t r, int64_t c) : rows(r), cols(c), data(static_cast<size_t>(r * c)) {}
  double& at(int64_t i, int64_t j) { return data[static_cast<size_t>(i * cols + j)]; }
  double at(int64_t i, int64_t j) const { return data[static_cast<size_t>(i * cols + j)]; }
};

Matrix transpose(const Matrix& x) {
  Matrix result(x.cols, x.rows);
  for (int64_t i = 0; i < x.rows; ++i) {
    for (int64_t j = 0; j < x.cols; ++j) result.at(j, i) = x.at(i, j);
  }
  return result;
}

Matrix product(const Matrix& a, const Matrix& b) {
  Matrix result(a.rows, b.cols);
  for (int64_t i = 0; i < a.rows; ++i) {
    for (int64_t k = 0; k < a.cols; ++k) {
      for (int64_t j = 0; j < b.cols; ++j) result.at(i, j) += a.at(i, k) * b.at(k, j);
    }
  }
  return result;
}

// The orthogonal matrix nearest to x, about: five steps of an odd polynomial on its singular
// values.
Matrix orthogonalize(Matrix x, int steps) {
  const bool tall = x.rows > x.cols;
  if (tall) x = transpose(x);
  double norm = 0;
  for (const double value : x.data) norm += value * value;
  norm = std::sqrt(norm) + 1e-7;
  for (double& value : x.data) value /= norm;
  for (int step = 0; step < steps; ++step) {
    const Matrix a = product(x, transpose(x));
    const Matrix a2 = product(a, a);
    Matrix b(a.rows, a.cols);
    for (size_t i = 0; i < b.data.size(); ++i)
      b.data[i] = -4.7750 * a.data[i] + 2.0315 * a2.data[i];
    const Matrix bx = product(b, x);
    for (size_t i = 0; i < x.data.size(); ++i) x.data[i] = 3.4445 * x.data[i] + bx.data[i];
  }
  return tall ? transpose(x) : x;
}

}  // namespace

void muon(const MuonArgs& args) {
  Matrix update(args.rows, args.cols);
  for (size_t i = 0; i < update.data.size(); ++i) {
    const double g = args.grad[i] * args.grad_scale;
    double& m = args.momentum[i];
    m = args.beta * m + (1 - args.beta) * g;
    update.data[i] = args.beta * m + (1 - args.beta) * g;  // Nesterov
  }
  update = orthogonalize(std::move(update), args.newton_schulz_steps);
  const double scale = 0.2 * std::sqrt(static_cast<double>(std::max(args.rows, args.cols)));
  for (size_t i = 0; i < update.data.size(); ++i) {
    args.param[i] -= args.lr * (args.weight_decay * args.param[i] + scale * update.data[i]);
  }
}

}  // namespace ashlar::kernels::ref
