// A product for the tests of gemm: operands, how they lie in memory, what follows; its run by a
// table and its reference.
#pragma once

#include "ashlar/kernels/args.h"
#include "tests/kernels/array.h"
#include "tests/kernels/tier_fixture.h"

#include <iosfwd>
#include <vector>

namespace ashlar::kernels {

// Which dimension of an operand is contiguous. kPadded: none is.
enum class Layout { kRows, kColumns, kPadded };

struct GemmCase {
  int64_t m = 0, n = 0, r = 0;
  DType a = DType::kF32, b = DType::kF32, c = DType::kF32;
  Layout a_layout = Layout::kRows, b_layout = Layout::kRows;
  bool packed = false;  // B by pack_b
  bool accumulate = false, bias = false, residual = false;
  bool residual_in_c = false;  // the residual lies where C is written
  Activation activation = Activation::kNone;
};
std::ostream& operator<<(std::ostream& out, const GemmCase& shape);

// Operands by value; elements depend on (i, r) and (r, j) alone, so cases that differ in m, layout
// or packing have rows in common.
struct GemmInputs {
  explicit GemmInputs(const GemmCase& shape);
  std::vector<double> a, b, c, bias, residual;  // row-major, rounded to their dtypes
};

// C, [M,N] without its padding. Fails the test when padding was written.
Array run_gemm(const KernelTable& table, TestTeam& team, const GemmCase& shape,
               const GemmInputs& inputs);
std::vector<double> gemm_reference(const GemmCase& shape, const GemmInputs& inputs);

}  // namespace ashlar::kernels
