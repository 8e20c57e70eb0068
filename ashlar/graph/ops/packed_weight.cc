#include "ashlar/graph/ops/packed_weight.h"

namespace ashlar::graph {

void PackedWeight::put(const Operand& weight, kernels::GemmArgs& args, int64_t matrix) const {
  const bool unpacked = is_block(weight.dtype);
  const auto at = [&](int64_t bytes) {
    return weight.data == nullptr ? nullptr : weight.data + matrix * bytes;
  };
  if (unpacked) {
    args.set_blocks(at(bytes_of(weight.dtype, args.n * args.r)), format);
  } else {
    const int rank = weight.shape.rank();
    args.set_packed(at(weight.shape[rank - 1]), format);
  }
}

}  // namespace ashlar::graph
