// An RMS norm of rows of which several ranks have some columns each: sums over columns, and what is
// done with the sums of whole rows, against the norm of whole rows.
#include "ashlar/kernels/ref/norm.h"
#include "tests/kernels/norm_inputs.h"
#include "tests/kernels/tier_fixture.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <vector>

namespace ashlar::kernels {
namespace {

constexpr double kEps = 1e-5;
constexpr float kOffset = 1;  // zero-centred

// Columns [begin, begin + width) of each row.
Array columns(const Array& all, int64_t rows, int64_t begin, int64_t width) {
  const std::vector<double> values = all.values();
  const int64_t stride = all.size() / rows;
  std::vector<double> part;
  for (int64_t t = 0; t < rows; ++t) {
    const auto first = values.begin() + t * stride + begin;
    part.insert(part.end(), first, first + width);
  }
  return {all.dtype(), part};
}

class NormSumsTest : public TierTest {
 protected:
  Array row_dot(const Array& a, const Array& b, const Array* weight, int64_t rows) {
    Array sums(DType::kF32, rows);
    RowDotArgs args;
    args.rows = rows;
    args.width = a.size() / rows;
    args.weight_offset = kOffset;
    args.dtype = a.dtype();
    args.a = a.data();
    args.b = b.data();
    if (weight != nullptr) args.weight = weight->floats();
    args.sums = sums.floats();
    table().row_dot(args, teams()[1].with_scratch());
    return sums;
  }
};

TEST_P(NormSumsTest, PartsOfRowsMakeTheNormOfWholeRows) {
  struct Size {
    int64_t rows, left, right;
  };
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    for (const Size size : {Size{1, 1, 1}, Size{3, 7, 2}, Size{5, 16, 17}, Size{700, 160, 80}}) {
      const auto [rows, left, right] = size;
      const int64_t width = left + right;
      const NormInputs in(dtype, {rows, width});
      std::vector<double> y(static_cast<size_t>(rows * width)), d_x = y;
      std::vector<double> rstd(static_cast<size_t>(rows));
      const auto x_values = in.x.values(), weights = in.weight.values(), d_values = in.d_y.values();
      ref::NormArgs norm;
      norm.rows = rows;
      norm.width = width;
      norm.eps = kEps;
      norm.weight_offset = kOffset;
      norm.x = x_values.data();
      norm.weight = weights.data();
      norm.y = y.data();
      norm.rstd = rstd.data();
      ref::rms_norm(norm);
      ref::NormGradArgs norm_grad;
      norm_grad.rows = rows;
      norm_grad.width = width;
      norm_grad.weight_offset = kOffset;
      norm_grad.x = x_values.data();
      norm_grad.weight = weights.data();
      norm_grad.rstd = rstd.data();
      norm_grad.d_y = d_values.data();
      norm_grad.d_x = d_x.data();
      ref::norm_grad(norm_grad);

      struct Part {
        int64_t begin, width;
      };
      const Part parts[] = {{0, left}, {left, right}};
      Array squares(DType::kF32, std::vector<double>(static_cast<size_t>(rows), 0));
      Array products = squares;
      for (const Part& part : parts) {
        const Array own = columns(in.x, rows, part.begin, part.width);
        const Array own_d_y = columns(in.d_y, rows, part.begin, part.width);
        const Array own_weight = in.weight.slice(part.begin, part.width);
        const Array own_squares = row_dot(own, own, nullptr, rows);
        const Array own_products = row_dot(own_d_y, own, &own_weight, rows);
        for (int64_t t = 0; t < rows; ++t) {
          squares.floats()[t] += own_squares.floats()[t];
          products.floats()[t] += own_products.floats()[t];
        }
      }
      for (const Part& part : parts) {
        const std::string what = fmt::format("{} {} rows, columns {} to {}", name(dtype), rows,
                                             part.begin, part.begin + part.width);
        const Array own = columns(in.x, rows, part.begin, part.width);
        const Array own_d_y = columns(in.d_y, rows, part.begin, part.width);
        const Array own_weight = in.weight.slice(part.begin, part.width);
        Array found(dtype, rows * part.width), found_d_x = found, found_rstd(DType::kF32, rows);
        NormArgs args;
        args.rows = rows;
        args.width = part.width;
        args.eps = static_cast<float>(kEps);
        args.weight_offset = kOffset;
        args.dtype = dtype;
        args.x = own.data();
        args.weight = own_weight.floats();
        args.squares = squares.floats();
        args.whole = width;
        args.y = found.data();
        args.rstd = found_rstd.floats();
        table().rms_norm(args, teams()[1].with_scratch());
        NormGradArgs grad;
        grad.rows = rows;
        grad.width = part.width;
        grad.weight_offset = kOffset;
        grad.dtype = dtype;
        grad.x = own.data();
        grad.weight = own_weight.floats();
        grad.rstd = found_rstd.floats();
        grad.d_y = own_d_y.data();
        grad.products = products.floats();
        grad.whole = width;
        grad.d_x = found_d_x.data();
        table().norm_grad(grad, teams()[1].with_scratch());
        const auto wanted = [&](const std::vector<double>& all) {
          std::vector<double> values;
          for (int64_t t = 0; t < rows; ++t) {
            const auto first = all.begin() + t * width + part.begin;
            values.insert(values.end(), first, first + part.width);
          }
          return values;
        };
        expect_close(found_rstd, rstd, what + " rstd");
        expect_close(found, wanted(y), what + " y");
        expect_close(found_d_x, wanted(d_x), what + " d_x");
      }
    }
  }
}

ASHLAR_TEST_EACH_TIER(NormSumsTest);

}  // namespace
}  // namespace ashlar::kernels
