#include "ashlar/cli/serve_memory.h"

#include "ashlar/base/error.h"
#include "ashlar/base/human.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace ashlar::cli {
namespace {

using generate::blocks_for;
using generate::kBlockTokens;

std::string bytes(int64_t count) { return human_bytes(static_cast<double>(count)); }

// Bytes of cache that may be had.
int64_t cache_room(const ServeConfig& config, const ServeMemory& memory) {
  const int64_t left = std::max<int64_t>(0, memory.budget.bytes - memory.plan.without_cache());
  // A number that somebody typed counts, even where less seems to be free.
  return config.kv_cache_memory_bytes > 0 ? config.kv_cache_memory_bytes : left;
}

}  // namespace

MemoryBudget memory_budget(const ServeConfig& config, int64_t free) {
  if (config.memory > 0) return {config.memory, "--memory"};
  if (free == 0) return {std::numeric_limits<int64_t>::max(), "the system does not say"};
  return {static_cast<int64_t>(config.memory_utilization * static_cast<double>(free)),
          fmt::format("{} of {} free", config.memory_utilization, bytes(free))};
}

ServeMemory share_memory(const ServeConfig& config, const generate::MemoryPlan& plan,
                         int64_t context, const MemoryBudget& budget) {
  ServeMemory memory{plan, budget, context, 0};
  const int64_t one = blocks_for(context);
  const int64_t all = std::min(config.max_num_seqs * one,  // what the pool can number
                               std::numeric_limits<int32_t>::max() / kBlockTokens);
  memory.blocks = std::clamp(cache_room(config, memory) / plan.block, one, all);
  return memory;
}

void check_memory(const ServeConfig& config, const ServeMemory& memory) {
  const int64_t room = cache_room(config, memory);
  if (memory.blocks * memory.plan.block <= room) return;
  const int64_t fits = room / memory.plan.block * kBlockTokens;
  std::string ways = fits > 0 ? fmt::format("--max-model-len {}, ", fits) : "";
  if (size_of(config.kv_cache_dtype.value_or(DType::kF32)) > size_of(DType::kBF16))
    ways += "--kv-cache-dtype bf16, ";
  if (config.kv_cache_memory_bytes > 0) {
    fail(
        "serve: kv_cache_memory_bytes = {} hold less than one sequence of {} tokens, which takes "
        "{}; try {}or more of them",
        bytes(config.kv_cache_memory_bytes), memory.context,
        bytes(memory.blocks * memory.plan.block), ways);
  }
  if (config.dtype.value_or(DType::kF32) == DType::kF32) ways += "--dtype bf16 or q8_0, ";
  fail(
      "serve: the model and one sequence of {} tokens take {}, and there are {} ({}); try {}or a "
      "larger --memory",
      memory.context, bytes(memory.total()), bytes(memory.budget.bytes), memory.budget.source,
      ways);
}

std::string ServeMemory::table() const {
  std::string text = "memory\n";
  const auto row = [&text](const char* name, int64_t count, const std::string& note) {
    text += fmt::format("  {:<16}{:>10}  {}", name, bytes(count), note);
    text.erase(text.find_last_not_of(' ') + 1);
    text += '\n';
  };
  const int64_t tokens = blocks * kBlockTokens;
  row("weights", plan.weights, "");
  row("packed weights", plan.packed, "");
  row("work of a step", plan.work, "");
  row("key-value cache", blocks * plan.block,
      fmt::format("{} tokens, {:.1f} sequences of {}", tokens,
                  static_cast<double>(tokens) / static_cast<double>(context), context));
  row("total", total(), "");
  const bool known = budget.bytes < std::numeric_limits<int64_t>::max();
  row("available", known ? budget.bytes : 0, budget.source);
  return text;
}

}  // namespace ashlar::cli
