// A Program: nodes of a graph in the order they run, each operand's place decided before anything
// runs. Written by the plan_memory pass, run by the executor, priced by the planner.
#pragma once

#include "ashlar/graph/graph.h"

#include <string>
#include <vector>

namespace ashlar::graph {

// Where a value lives while Programs run.
struct Location {
  enum class Kind : uint8_t {
    kAbsent,      // optional input left out
    kInput,       // memory the caller binds; index = its place in Graph::inputs()
    kVariable,    // index = VariableId
    kArena,       // offset into the arena
    kSlot,        // offset into the slot of the microbatch
    kWeightSlot,  // offset into its other slot, which it holds until its weight gradients are made
  } kind = Kind::kAbsent;
  int64_t offset = 0;       // or index
  int64_t part_offset = 0;  // kVariable: bytes to the part of it
};

struct Step {
  int32_t node = -1;
  std::vector<Location> inputs, outputs;
  int64_t scratch_offset = 0;  // into the arena
  int64_t scratch_bytes = 0;
};

struct Program {
  std::string name;  // "forward", "backward", "reduce", "norm", "update"
  std::vector<Step> steps;
  std::vector<VariableId> reads, writes;
};

// Bytes of the arena that stand for Variables which this rank holds a shard of, at most at once:
// parameters as gathered, and gradients on their way to their owners.
struct StandIns {
  int64_t parameters = 0, gradients = 0;
};

// Programs that share one arena. Values written by one Program and read by a later one live in
// numbered microbatch slots when there is more than one slot. Where backward is two Programs,
// "input_grad" and "weight_grad", what the second reads lives in slots of its own.
struct PlannedPrograms {
  std::vector<Program> programs;
  std::vector<Location> values;  // of every value of the graph
  Bindings max_bindings;
  int slots = 1;
  int64_t arena_bytes = 0;  // transient values and scratch
  int64_t slot_bytes = 0;   // of one slot; 0 when slots == 1 (saved values share the arena)
  int weight_slots = 0;     // 0: backward is one Program
  int64_t weight_slot_bytes = 0;
  StandIns stand_ins;
  int64_t all_slots_bytes() const { return slots * slot_bytes + weight_slots * weight_slot_bytes; }
  int64_t total_bytes() const { return arena_bytes + all_slots_bytes(); }
};

}  // namespace ashlar::graph
