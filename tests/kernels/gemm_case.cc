#include "tests/kernels/gemm_case.h"

#include "ashlar/kernels/ref/gemm.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>
#include <ostream>

namespace ashlar::kernels {
namespace {

constexpr int64_t kPad = 3;

// A matrix in memory under a layout, with NaNs in its padding.
struct Matrix {
  Matrix(Layout layout, DType dtype, const std::vector<double>& values, int64_t rows, int64_t cols)
      : row_stride(layout == Layout::kColumns ? 1
                   : layout == Layout::kRows  ? cols + kPad
                                              : 2 * cols),
        col_stride(layout == Layout::kColumns ? rows + kPad
                   : layout == Layout::kRows  ? 1
                                              : 2),
        memory(dtype, (rows + 1) * row_stride + (cols + 1) * col_stride) {
    const Array source(dtype, values);
    const int64_t size = size_of(dtype);
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < cols; ++j) {
        std::memcpy(
            static_cast<std::byte*>(memory.data()) + (i * row_stride + j * col_stride) * size,
            static_cast<const std::byte*>(source.data()) + (i * cols + j) * size,
            static_cast<size_t>(size));
      }
    }
  }
  MatrixView view() const { return {memory.data(), memory.dtype(), row_stride, col_stride}; }
  int64_t row_stride, col_stride;
  Array memory;
};

// Packs B in two calls, as two threads would.
Array pack(const KernelTable& table, const GemmCase& shape, const MatrixView& b) {
  Array packed(DType::kBF16, table.packed_b_bytes(shape.b, shape.r, shape.n) / 2);
  const int64_t columns = table.packed_columns(shape.b);
  const int64_t middle = shape.n / 2 / columns * columns;
  table.pack_b(b, shape.r, shape.n, middle, shape.n, shape.b, packed.data());
  table.pack_b(b, shape.r, shape.n, 0, middle, shape.b, packed.data());
  return packed;
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const GemmCase& s) {
  return out << fmt::format("{} x {} x {}, {} x {} -> {}, layouts {} {}{}{}{}{}{}, activation {}",
                            s.m, s.n, s.r, name(s.a), name(s.b), name(s.c),
                            static_cast<int>(s.a_layout), static_cast<int>(s.b_layout),
                            s.packed ? ", packed" : "", s.accumulate ? ", accumulate" : "",
                            s.bias ? ", bias" : "", s.residual ? ", residual" : "",
                            s.residual_in_c ? " in c" : "", static_cast<int>(s.activation));
}

GemmInputs::GemmInputs(const GemmCase& s)
    : a(rounded(s.a, random_values("a", s.m * s.r))),
      b(rounded(s.b, random_values("b", s.r * s.n))),
      c(rounded(s.c, random_values("c", s.m * s.n))),
      bias(rounded(DType::kF32, random_values("bias", s.n))),
      residual(s.residual_in_c ? c : rounded(s.c, random_values("residual", s.m * s.n))) {}

Array run_gemm(const KernelTable& table, TestTeam& team, const GemmCase& s, const GemmInputs& in) {
  const Matrix a(s.a_layout, s.a, in.a, s.m, s.r), b(s.b_layout, s.b, in.b, s.r, s.n);
  Matrix c(Layout::kRows, s.c, in.c, s.m, s.n);
  const Matrix residual(Layout::kRows, s.c, in.residual, s.m, s.n);
  const Array bias(DType::kF32, in.bias);
  GemmArgs args;
  args.m = s.m;
  args.n = s.n;
  args.r = s.r;
  args.a = a.view();
  args.b = b.view();
  const Array packed = s.packed ? pack(table, s, args.b) : Array(DType::kF32, 0);
  if (s.packed) {
    args.b = {};
    args.set_packed(packed.data(), s.b);
  }
  args.c = c.memory.data();
  args.c_dtype = s.c;
  args.c_stride = c.row_stride;
  // Memory is planned before it is known what follows the product.
  const Team with_scratch = team.with_scratch(table.gemm_scratch(args, team.threads()));
  args.accumulate = s.accumulate;
  args.activation = s.activation;
  if (s.bias) args.bias = bias.floats();
  if (s.residual) args.residual = s.residual_in_c ? args.c : residual.memory.data();
  args.residual_stride = c.row_stride;
  table.gemm(args, with_scratch);

  Array result(s.c, s.m * s.n);
  const int64_t row_bytes = s.n * size_of(s.c), stride_bytes = c.row_stride * size_of(s.c);
  const std::byte* from = static_cast<const std::byte*>(c.memory.data());
  // Without columns there is no memory, and memcpy takes no null, not even for 0 bytes.
  for (int64_t i = 0; i < s.m && row_bytes > 0; ++i) {
    std::memcpy(static_cast<std::byte*>(result.data()) + i * row_bytes, from + i * stride_bytes,
                static_cast<size_t>(row_bytes));
    for (int64_t k = row_bytes; k < stride_bytes; ++k) {
      EXPECT_EQ(from[i * stride_bytes + k], std::byte{0xff}) << "written beyond row " << i;
    }
  }
  return result;
}

std::vector<double> gemm_reference(const GemmCase& s, const GemmInputs& in) {
  std::vector<double> c = in.c;
  ref::GemmArgs args;
  args.m = s.m;
  args.n = s.n;
  args.r = s.r;
  args.a = {in.a.data(), s.r, 1};
  args.b = {in.b.data(), s.n, 1};
  args.c = c.data();
  args.c_stride = args.residual_stride = s.n;
  args.accumulate = s.accumulate;
  if (s.bias) args.bias = in.bias.data();
  args.activation = s.activation;
  if (s.residual) args.residual = in.residual.data();
  ref::gemm(args);
  return c;
}

}  // namespace ashlar::kernels
