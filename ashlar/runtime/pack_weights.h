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

// Makes "NAME.packed" in the store from "NAME". Those of block formats can wait: their products
// read the blocks meanwhile (KernelTable::borrow_b), slower, but with the same bits, so that a
// model answers before it is packed. Sources that no op reads are taken out of the store and kept
// until then; with no `finished` they stay in it, as they do for weights that somebody else goes on
// using.
class WeightPacker {
 public:
  WeightPacker() = default;  // nothing to pack
  // No product may run before one of put_off() and pack_rest(). Table and pool outlive this.
  WeightPacker(const graph::Graph& graph, VariableStore& store, const kernels::KernelTable& table,
               ThreadPool& pool, SourceFinished finished = nullptr);

  bool is_done() const { return waiting_.empty(); }
  // Packs what cannot wait, and lets the rest borrow.
  void put_off();
  // Some of the rest, one weight at least; no product may run meanwhile.
  void pack_for(double seconds);
  void pack_rest();

 private:
  struct Job {
    Tensor packed, source;
    std::string name;  // of the source
    bool finishes = false;
  };

  void pack(Job& job) const;
  void borrow(Job& job) const;

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
