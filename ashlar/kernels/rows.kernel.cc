// Rows by index: embedding lookup and its gradient.
#include "ashlar/kernels/rows_parallel.h"
#include "ashlar/kernels/table.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {
namespace {

// f(table element, element) for the types of both.
template <typename F>
ASHLAR_INLINE void with_elements(DType table_dtype, DType dtype, F f) {
  with_element(table_dtype, [&](auto table_element) {
    with_element(dtype, [&](auto element) { f(table_element, element); });
  });
}

void gather_rows(const GatherRowsArgs& args, const Team& team) {
  with_elements(args.table_dtype, args.dtype, [&](auto table_element, auto element) {
    using T = decltype(element);
    const auto* table = static_cast<const decltype(table_element)*>(args.table);
    parallel_rows(team, args.rows, args.width, [&](int64_t t) {
      const int64_t id = args.ids[t] - args.first_row;
      const bool here = id >= 0 && id < args.table_rows;
      const auto* row = table + id * args.width;
      T* y = static_cast<T*>(args.y) + t * args.width;
      if (args.add == nullptr) {
        for_each_vec(args.width, [&](int64_t i, auto count) {
          store(y + i, here ? load(row + i, count) : zero(), count);
        });
      } else {
        const T* add = static_cast<const T*>(args.add) + t * args.width;
        for_each_vec(args.width, [&](int64_t i, auto count) {
          const Vec added = load(add + i, count);
          store(y + i, here ? load(row + i, count) + added : added, count);
        });
      }
    });
  });
}

void scatter_add_rows(const ScatterAddRowsArgs& args, const Team& team) {
  with_elements(args.table_dtype, args.dtype, [&](auto table_element, auto element) {
    using T = decltype(element);
    auto* table = static_cast<decltype(table_element)*>(args.d_table);
    if (!args.accumulate) {
      parallel_rows(team, args.table_rows, args.width, [&](int64_t v) {
        std::memset(table + v * args.width, 0,
                    static_cast<size_t>(args.width) * sizeof(table_element));
      });
    }
    parallel_columns(team, args.width, [&](int64_t begin, int64_t end) {
      for (int64_t t = 0; t < args.rows; ++t) {
        const int64_t id = args.ids[t] - args.first_row;
        if (id < 0 || id >= args.table_rows) continue;
        auto* row = table + id * args.width + begin;
        const T* d_y = static_cast<const T*>(args.d_y) + t * args.width + begin;
        for_each_vec(end - begin, [&](int64_t i, auto count) {
          store(row + i, load(row + i, count) + load(d_y + i, count), count);
        });
      }
    });
  });
}

}  // namespace

void fill_rows(KernelTable& table) {
  table.gather_rows = gather_rows;
  table.scatter_add_rows = scatter_add_rows;
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
