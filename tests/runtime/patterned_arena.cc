#include "tests/runtime/patterned_arena.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace ashlar::testing {
namespace {

constexpr unsigned char kPattern = 0xA5;
constexpr int64_t kCacheLine = 64;  // what plan_memory rounds a buffer up to

}  // namespace

PatternedArena::PatternedArena(const runtime::Executor& executor) : executor_(executor) {
  const int64_t page = ::sysconf(_SC_PAGESIZE);
  bytes_ = (executor.arena().bytes() + page - 1) / page * page;
  std::memset(executor.arena().data(), kPattern, static_cast<size_t>(bytes_));
}

int64_t PatternedArena::mark() const {
  int64_t end = bytes_;
  while (end > 0 && executor_.arena().data()[end - 1] == std::byte{kPattern}) --end;
  return end;
}

int64_t PatternedArena::planned_end(graph::ValueId value, const graph::Location& location) const {
  const graph::PlannedPrograms& plan = executor_.plan();
  int64_t begin = location.offset;
  if (location.kind == graph::Location::Kind::kSlot) {
    begin += plan.arena_bytes + (plan.slots - 1) * plan.slot_bytes;  // the last slot
  } else if (location.kind == graph::Location::Kind::kWeightSlot) {
    begin += plan.arena_bytes + plan.slots * plan.slot_bytes +
             (plan.weight_slots - 1) * plan.weight_slot_bytes;
  } else if (location.kind != graph::Location::Kind::kArena) {
    return 0;
  }
  const graph::ValueType& type = executor_.graph().type(value);
  return begin + type.shape.bind(plan.max_bindings).elements() * size_of(type.dtype);
}

int64_t PatternedArena::planned_mark() const {
  int64_t mark = 0;
  for (const graph::Program& program : executor_.plan().programs) {
    for (const graph::Step& step : program.steps) {
      if (step.scratch_bytes > 0) mark = std::max(mark, step.scratch_offset + step.scratch_bytes);
      const graph::Node& node = executor_.graph().node(step.node);
      for (size_t i = 0; i < node.outputs.size(); ++i) {
        mark = std::max(mark, planned_end(node.outputs[i], step.outputs[i]));
      }
    }
  }
  return mark;
}

void expect_used_to_its_mark(const PatternedArena& arena, const runtime::Executor& executor,
                             const std::string& what) {
  EXPECT_EQ(arena.mark(), arena.planned_mark()) << what;
  EXPECT_EQ(executor.arena().bytes(), executor.plan().total_bytes()) << what;
  EXPECT_LE(arena.planned_mark(), executor.plan().total_bytes()) << what;
  EXPECT_GT(arena.planned_mark(), executor.plan().total_bytes() - kCacheLine) << what;
}

}  // namespace ashlar::testing
