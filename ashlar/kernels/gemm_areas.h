// The order in which a product's areas of C and spans of r are computed, so that what is packed for
// one serves the next.
#pragma once

#include "ashlar/kernels/args.h"
#include "ashlar/kernels/extent.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

// An area of C and a span of r.
struct Area {
  int64_t m0, m1, n0, n1, r0, r1;
};

// f(area, a_stays, b_stays) for every area of plan.area_m x plan.area_n and span of plan.span_r:
// whether A or B lies packed as the last area left it.
template <typename Plan, typename F>
ASHLAR_INLINE void for_each_area(const GemmArgs& args, const Plan& plan, const F& f) {
  const bool one_span = plan.span_r >= args.r;
  for (int64_t n0 = 0; n0 < args.n; n0 += plan.area_n) {
    for (int64_t m0 = 0; m0 < args.m; m0 += plan.area_m) {
      for (int64_t r0 = 0; r0 < args.r; r0 += plan.span_r) {
        const Area area = {m0, lesser(m0 + plan.area_m, args.m),
                           n0, lesser(n0 + plan.area_n, args.n),
                           r0, lesser(r0 + plan.span_r, args.r)};
        f(area, one_span && n0 > 0 && plan.area_m >= args.m, one_span && m0 > 0);
      }
    }
  }
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
