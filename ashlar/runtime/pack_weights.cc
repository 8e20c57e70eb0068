#include "ashlar/runtime/pack_weights.h"

#include "ashlar/base/clock.h"
#include "ashlar/kernels/args.h"
#include "ashlar/kernels/team.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <utility>

namespace ashlar::runtime {
namespace {

// One piece of memory for all packed variables, since the system gives huge pages to whole ones
// only: of its own, each weight would end in small pages, which take longer to get than to fill.
class Slab {
 public:
  explicit Slab(const graph::Graph& graph) {
    for (const graph::Variable& variable : graph.variables()) {
      if (variable.kind == graph::VariableKind::kPacked) size_ += room_for(variable);
    }
    if (size_ > 0) memory_ = allocate_zeroed(size_);
  }
  Tensor take(const graph::Variable& variable) {
    std::byte* place = memory_.get() + taken_;
    taken_ += room_for(variable);
    return {variable.dtype, variable.shape, place, memory_};
  }

 private:
  static size_t room_for(const graph::Variable& variable) {
    constexpr size_t kAlignment = 64;
    return (static_cast<size_t>(variable.bytes()) + kAlignment - 1) / kAlignment * kAlignment;
  }

  size_t size_ = 0, taken_ = 0;
  std::shared_ptr<std::byte[]> memory_;
};

// A weight is [outputs, inputs], or such a matrix for each expert.
struct Matrices {
  int64_t count, outputs, inputs;

  explicit Matrices(const Tensor& weight)
      : count(weight.shape().rank() == 3 ? weight.shape()[0] : 1),
        outputs(weight.shape()[weight.shape().rank() - 2]),
        inputs(weight.shape()[weight.shape().rank() - 1]) {}

  // Matrix i of the weight, or of its packed form.
  std::byte* part(Tensor whole, int64_t i) const {
    return whole.data() + static_cast<int64_t>(whole.bytes()) / count * i;
  }
};

}  // namespace

WeightPacker::WeightPacker(const graph::Graph& graph, VariableStore& store,
                           const kernels::KernelTable& table, ThreadPool& pool,
                           SourceFinished finished)
    : table_(&table), pool_(&pool), finished_(std::move(finished)) {
  const std::vector<bool> read = graph.variables_read();
  Slab slab(graph);
  for (const graph::Variable& variable : graph.variables()) {
    if (variable.kind != graph::VariableKind::kPacked) continue;
    const std::string& name = graph.variable(variable.source).name;
    const bool finishes = finished_ != nullptr && !read[static_cast<size_t>(variable.source.index)];
    waiting_.push_back({slab.take(variable), store.at(name), variable.name, name, finishes});
    if (finishes) store.erase(name);
  }
  std::ranges::reverse(waiting_);
}

void WeightPacker::put_off(VariableStore& store) {
  std::vector<Job> all = std::exchange(waiting_, {});
  for (Job& job : all) {
    if (kernels::multiplies(job.source.dtype())) {
      store.put(job.name, job.source);
      waiting_.push_back(std::move(job));
    } else {
      pack(job, store);
      job = {};
    }
  }
}

void WeightPacker::pack(const Job& job, VariableStore& store) const {
  const Matrices matrices(job.source);
  const DType dtype = job.source.dtype();
  // A few panels a task: enough of them to share out, none too small.
  const int64_t step = 4 * table_->packed_columns(dtype);
  const int64_t tasks = (matrices.outputs + step - 1) / step;
  pool_->parallel_for(matrices.count * tasks, [&](int64_t task, int) {
    const int64_t matrix = task / tasks, first = task % tasks * step;
    table_->pack_b({matrices.part(job.source, matrix), dtype, 1, matrices.inputs}, matrices.inputs,
                   matrices.outputs, first, std::min(matrices.outputs, first + step), dtype,
                   matrices.part(job.packed, matrix));
  });
  store.put(job.name, job.packed);
  if (job.finishes) finished_(job.source_name, job.source);
}

void WeightPacker::pack_for(double seconds, VariableStore& store) {
  const SteadyClock clock;
  const double end = clock.now() + seconds;
  while (!waiting_.empty()) {
    pack(waiting_.back(), store);
    waiting_.pop_back();
    if (clock.now() >= end) return;
  }
}

void WeightPacker::pack_rest(VariableStore& store) {
  pack_for(std::numeric_limits<double>::infinity(), store);
}

void pack_weights(const graph::Graph& graph, VariableStore& store,
                  const kernels::KernelTable& table, ThreadPool& pool, SourceFinished finished) {
  WeightPacker(graph, store, table, pool, std::move(finished)).pack_rest(store);
}

}  // namespace ashlar::runtime
