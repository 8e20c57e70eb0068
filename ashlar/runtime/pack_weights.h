// Fills the packed Variables of a graph (passes/pack.h) from their sources, weight by weight, so
// that at most one weight is in memory twice.
#pragma once

#include "ashlar/base/thread_pool.h"
#include "ashlar/graph/graph.h"
#include "ashlar/runtime/variable_store.h"

#include <functional>
#include <string>
#include <vector>

namespace ashlar::runtime {

// Handed each source that no op of the graph reads any more, once its packed form is there.
using SourceFinished = std::function<void(const std::string& name, const Tensor& source)>;

// Makes "NAME.packed" in a store from "NAME". Weights of block formats can wait: in place of the
// packed one stands its source meanwhile, which products read as it is (PackedWeight::put), slower,
// but with the same bits, so that a model answers before it is packed. Sources that no op reads are
// taken out of the store and kept until then; with no `finished` they stay in it, as they do for
// weights that somebody else goes on using.
class WeightPacker {
 public:
  WeightPacker() = default;  // nothing to pack
  // Table and pool outlive this.
  WeightPacker(const graph::Graph& graph, VariableStore& store, const kernels::KernelTable& table,
               ThreadPool& pool, SourceFinished finished = nullptr);

  bool is_done() const { return waiting_.empty(); }
  // Packs what cannot wait, and puts the sources of the rest into the store.
  void put_off(VariableStore& store);
  // Some of the rest, one weight at least. The store's executors must not run meanwhile, and
  // rebind_packed() before they do.
  void pack_for(double seconds, VariableStore& store);
  void pack_rest(VariableStore& store);

 private:
  struct Job {
    Tensor packed, source;
    std::string name, source_name;
    bool finishes = false;
  };

  void pack(const Job& job, VariableStore& store) const;

  const kernels::KernelTable* table_ = nullptr;
  ThreadPool* pool_ = nullptr;
  SourceFinished finished_;
  std::vector<Job> waiting_;  // the first one last
};

// All of them, now.
void pack_weights(const graph::Graph& graph, VariableStore& store,
                  const kernels::KernelTable& table, ThreadPool& pool,
                  SourceFinished finished = nullptr);

}  // namespace ashlar::runtime
