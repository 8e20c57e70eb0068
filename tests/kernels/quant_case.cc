#include "tests/kernels/quant_case.h"

#include "ashlar/tensor/quantize.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>

namespace ashlar::kernels {
namespace {

void put_scale(std::byte* at, double value) {
  const f16 scale = to_f16(static_cast<float>(value));
  std::memcpy(at, &scale, sizeof(scale));
}

// Where the block has its f16 scales.
std::vector<int64_t> scale_offsets(DType format) {
  if (format == DType::kQ4K) return {0, 2};
  if (format == DType::kQ6K) return {208};
  return {0};
}

// A row's super-block as the contract rounds it: scale and codes.
struct RoundedBlock {
  float scale;
  std::vector<double> codes;
};
RoundedBlock rounded_block(const double* x, int64_t count) {
  float most = 0;
  for (int64_t i = 0; i < count; ++i) most = std::max(most, std::abs(float(x[i])));
  RoundedBlock block = {most / 127.0f, {}};
  const float factor = most > 0 ? 127.0f / most : 0.0f;
  for (int64_t i = 0; i < count; ++i) {
    block.codes.push_back(std::nearbyint(float(x[i]) * factor));
  }
  return block;
}

// Weights whose f16 scales the contract makes multiples of a scale of their super-block.
double most_multiplier(DType format) { return format == DType::kQ8_0 ? 255 : 4095; }
bool has_own_scales(DType format) { return format == DType::kQ8_0 || format == DType::kQ4_0; }

float scale_at(const QuantWeights& w, int64_t block) {
  f16 d;
  std::memcpy(&d, w.blocks.data() + block * size_of(w.format), sizeof(d));
  return to_float(d);
}

// f(element, the scale of its block, scale_b of its super-block), row by row.
void each_scaled(const QuantWeights& w, const std::function<void(size_t, float, float)>& f) {
  for (int64_t first = 0; first < w.n * w.r;) {
    const int64_t last = std::min(first / w.r * w.r + w.r, first + kQuantSuper);
    float most = 0;
    for (int64_t i = first; i < last; i += kQuantBlock) {
      most = std::max(most, std::abs(scale_at(w, i / kQuantBlock)));
    }
    const float scale = most / static_cast<float>(most_multiplier(w.format));
    for (; first < last; ++first) {
      f(static_cast<size_t>(first), scale_at(w, first / kQuantBlock), scale);
    }
  }
}

// What the contract multiplies.
std::vector<double> contract_values(const QuantWeights& w) {
  std::vector<double> values = w.values;
  if (!has_own_scales(w.format)) return values;
  each_scaled(w, [&](size_t i, float of_block, float scale) {
    if (of_block != 0) values[i] *= std::nearbyint(of_block / scale) * double(scale) / of_block;
  });
  return values;
}

// How far that can be from the weights: half a multiplier.
std::vector<double> scale_bound(const QuantWeights& w) {
  std::vector<double> bound(w.values.size());
  if (!has_own_scales(w.format)) return bound;
  each_scaled(w, [&](size_t i, float of_block, float scale) {
    if (of_block != 0) bound[i] = std::abs(w.values[i] / of_block) * scale / 2;
  });
  return bound;
}

// [M,N] of sums over r of weight * the row's element, as `map` makes them of the row.
using RowMap = std::function<std::vector<double>(const double* row)>;
std::vector<double> product(const QuantWeights& w, const std::vector<double>& weights,
                            const Array& rows, const RowMap& map) {
  const std::vector<double> x = rows.values();
  std::vector<double> result;
  for (size_t first = 0; first < x.size(); first += static_cast<size_t>(w.r)) {
    const std::vector<double> row = map(x.data() + first);
    for (int64_t n = 0; n < w.n; ++n) {
      double sum = 0;
      for (int64_t k = 0; k < w.r; ++k) {
        sum += weights[static_cast<size_t>(n * w.r + k)] * row[static_cast<size_t>(k)];
      }
      result.push_back(sum);
    }
  }
  return result;
}

// The row super-block by super-block: each element of it, made from the rounded block.
RowMap by_block(int64_t r, const std::function<double(const RoundedBlock&, size_t)>& element) {
  return [r, element](const double* row) {
    std::vector<double> result;
    for (int64_t b = 0; b < r; b += kQuantSuper) {
      const RoundedBlock block = rounded_block(row + b, std::min(kQuantSuper, r - b));
      for (size_t i = 0; i < block.codes.size(); ++i) result.push_back(element(block, i));
    }
    return result;
  };
}

}  // namespace

QuantWeights random_weights(DType format, int64_t n, int64_t r, std::optional<std::byte> code) {
  QuantWeights w = {format, n, r, {}, {}};
  const int64_t blocks = n * r / block_elements(format);
  w.blocks.resize(static_cast<size_t>(blocks * size_of(format)));
  const std::vector<int32_t> bytes = random_ids("codes", std::ssize(w.blocks), 256);
  for (size_t i = 0; i < bytes.size(); ++i) {
    w.blocks[i] = code.value_or(static_cast<std::byte>(bytes[i]));
  }
  const std::vector<int32_t> scales = random_ids("scales", 2 * blocks, 7000);
  size_t next = 0;
  for (int64_t b = 0; b < blocks; ++b) {
    for (const int64_t offset : scale_offsets(format)) {
      put_scale(w.blocks.data() + b * size_of(format) + offset, 0x1p-9 + scales[next++] * 0x1p-19);
    }
  }
  std::vector<float> values(static_cast<size_t>(n * r));
  dequantize(format, w.blocks.data(), values.data(), n * r);
  w.values.assign(values.begin(), values.end());
  return w;
}

std::vector<std::byte> packed(const KernelTable& table, const QuantWeights& w) {
  std::vector<std::byte> result(static_cast<size_t>(table.packed_b_bytes(w.format, w.r, w.n)),
                                std::byte{0xff});
  const int64_t columns = table.packed_columns(w.format);
  const int64_t middle = w.n / 2 / columns * columns;
  const MatrixView b = {w.blocks.data(), w.format, 1, w.r};
  table.pack_b(b, w.r, w.n, middle, w.n, w.format, result.data());
  table.pack_b(b, w.r, w.n, 0, middle, w.format, result.data());
  return result;
}

Array run_product(const KernelTable& table, TestTeam& team, const QuantWeights& w,
                  const std::vector<std::byte>& packed, const Array& rows) {
  GemmArgs args;
  args.m = rows.size() / w.r;
  args.n = w.n;
  args.r = w.r;
  args.a = {rows.data(), rows.dtype(), w.r, 1};
  if (packed.empty()) {
    args.set_blocks(w.blocks.data(), w.format);
  } else {
    args.set_packed(packed.data(), w.format);
  }
  Array c(DType::kF32, args.m * args.n);
  args.c = c.data();
  args.c_stride = args.n;
  table.gemm(args, team.with_scratch(table.gemm_scratch(args, team.threads())));
  return c;
}

std::vector<double> product_reference(const QuantWeights& w, const Array& rows) {
  const auto element = [](const RoundedBlock& b, size_t i) { return b.scale * b.codes[i]; };
  return product(w, contract_values(w), rows, by_block(w.r, element));
}

std::vector<double> unrounded_product(const QuantWeights& w, const Array& rows) {
  const auto whole = [&](const double* row) { return std::vector<double>(row, row + w.r); };
  return product(w, w.values, rows, whole);
}

std::vector<double> rounding_bound(const QuantWeights& w, const Array& rows) {
  std::vector<double> sizes = contract_values(w);
  for (double& size : sizes) size = std::abs(size);
  const auto half_step = [](const RoundedBlock& b, size_t) { return 0.5 * b.scale; };
  std::vector<double> bound = product(w, sizes, rows, by_block(w.r, half_step));
  const auto row_sizes = [&](const double* row) {
    std::vector<double> result(row, row + w.r);
    for (double& size : result) size = std::abs(size);
    return result;
  };
  const std::vector<double> of_scales = product(w, scale_bound(w), rows, row_sizes);
  for (size_t i = 0; i < bound.size(); ++i) bound[i] += of_scales[i];
  return bound;
}

}  // namespace ashlar::kernels
