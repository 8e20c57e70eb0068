// cast: f32, bf16 and f16 to one another, rounding to nearest even.
#include "ashlar/kernels/parallel.h"
#include "ashlar/kernels/rows_parallel.h"
#include "ashlar/kernels/table.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

template <typename From, typename To>
static void cast_as(const CastArgs& args, const Team& team) {
  const From* x = static_cast<const From*>(args.x);
  To* y = static_cast<To*>(args.y);
  parallel_ranges(team, args.elements, kTaskElements, [&](int64_t begin, int64_t end) {
    for_each_vec(end - begin, [&](int64_t i, auto lanes) {
      store(y + begin + i, load(x + begin + i, lanes), lanes);
    });
  });
}

template <typename From>
static void cast_from(const CastArgs& args, const Team& team) {
  switch (args.to) {
    case DType::kBF16:
      return cast_as<From, bf16>(args, team);
    case DType::kF16:
      return cast_as<From, f16>(args, team);
    default:
      return cast_as<From, float>(args, team);
  }
}

static void cast(const CastArgs& args, const Team& team) {
  switch (args.from) {
    case DType::kBF16:
      return cast_from<bf16>(args, team);
    case DType::kF16:
      return cast_from<f16>(args, team);
    default:
      return cast_from<float>(args, team);
  }
}

void fill_cast(KernelTable& table) { table.cast = cast; }

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
