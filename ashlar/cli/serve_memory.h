// How the memory of a server is shared out: the model and its work space are fixed, the cache gets
// what is left, up to what all sequences can fill.
#pragma once

#include "ashlar/cli/serve_config.h"
#include "ashlar/generate/memory_plan.h"

#include <cstdint>
#include <string>

namespace ashlar::cli {

struct MemoryBudget {
  int64_t bytes = 0;
  std::string source;  // "0.9 of 23.4 GB free"
};

// free: of the machine or container; 0: not known.
MemoryBudget memory_budget(const ServeConfig& config, int64_t free);

struct ServeMemory {
  generate::MemoryPlan plan;
  MemoryBudget budget;
  int64_t context = 0;  // tokens of the longest sequence
  int64_t blocks = 0;   // of the cache
  int64_t total() const { return plan.without_cache() + blocks * plan.block; }
  std::string table() const;
};

// Gives the cache its blocks: at least one sequence's. context: resolved.
ServeMemory share_memory(const ServeConfig& config, const generate::MemoryPlan& plan,
                         int64_t context, const MemoryBudget& budget);

// Throws Error with the ways out where one sequence does not fit.
void check_memory(const ServeConfig& config, const ServeMemory& memory);

}  // namespace ashlar::cli
