#include "ashlar/schedule/communication.h"

#include "ashlar/base/error.h"
#include "ashlar/schedule/check.h"
#include "ashlar/schedule/text.h"
#include "ashlar/schedule/values.h"

#include <algorithm>
#include <optional>
#include <tuple>
#include <vector>

namespace ashlar::schedule {
namespace {

Schedule with_buffered_messages(const Schedule& schedule) {
  Schedule out = schedule;
  const Values values(schedule);
  for (int rank = 0; rank < schedule.stages.ranks(); ++rank) {
    InstructionList& list = out.ranks[static_cast<size_t>(rank)];
    list.clear();
    for (const Instruction& each : schedule.ranks[static_cast<size_t>(rank)]) {
      const auto input = values.input(rank, each), output = values.output(rank, each);
      if (input && values.travels(*input)) list.push_back(values.recv(*input));
      list.push_back(each);
      if (output && values.travels(*output)) list.push_back(values.send(*output));
    }
  }
  return out;
}

// When each instruction would start and end if F, B and W took one unit and BW two.
struct Span {
  int start, end;
};
std::vector<std::vector<Span>> unit_times(const Schedule& schedule) {
  const Values values(schedule);
  std::vector<std::optional<int>> made(values.count());
  std::vector<std::vector<Span>> spans(schedule.ranks.size());
  for (bool moved = true; moved;) {
    moved = false;
    for (size_t rank = 0; rank < spans.size(); ++rank) {
      const InstructionList& list = schedule.ranks[rank];
      while (spans[rank].size() < list.size()) {
        const Instruction& next = list[spans[rank].size()];
        int start = spans[rank].empty() ? 0 : spans[rank].back().end;
        const bool computes = is_compute(next.kind);
        if (computes) {
          const auto input = values.input(static_cast<int>(rank), next);
          if (input && !made[*input]) break;
          if (input) start = std::max(start, *made[*input]);
        }
        const int end = start + (!computes ? 0 : next.kind == Kind::kBackward ? 2 : 1);
        spans[rank].push_back({start, end});
        moved = true;
        if (!computes) continue;
        if (const auto output = values.output(static_cast<int>(rank), next)) made[*output] = end;
      }
    }
  }
  for (size_t rank = 0; rank < spans.size(); ++rank) {
    const size_t at = spans[rank].size();
    ASHLAR_CHECK(at == schedule.ranks[rank].size(),
                 "schedule {}: rank {} gets stuck at instruction {} ({})", schedule.name, rank, at,
                 str(schedule, static_cast<int>(rank), schedule.ranks[rank][at]));
  }
  return spans;
}

// All messages in the order in which they are made become one order for all ranks. On each rank a
// message stands after what ends, and before what starts, at that time.
Schedule with_rendezvous_messages(const Schedule& schedule) {
  const auto spans = unit_times(schedule);
  const Values values(schedule);
  struct Event {
    int time;
    bool starts;   // at one time: what ended, then messages, then what starts
    size_t order;  // of equals
    std::optional<size_t> message;
    Instruction instruction;
  };
  std::vector<std::vector<Event>> events(schedule.ranks.size());
  for (size_t rank = 0; rank < spans.size(); ++rank) {
    for (size_t i = 0; i < spans[rank].size(); ++i) {
      const Instruction& each = schedule.ranks[rank][i];
      // A message made while this runs comes after it, so its start is what counts.
      events[rank].push_back({spans[rank][i].start, true, i, std::nullopt, each});
      if (!is_compute(each.kind)) continue;
      const auto value = values.output(static_cast<int>(rank), each);
      if (!value || !values.travels(*value)) continue;
      const int made = spans[rank][i].end;
      events[rank].push_back({made, false, *value, value, values.send(*value)});
      events[static_cast<size_t>(values.user(*value))].push_back(
          {made, false, *value, value, values.recv(*value)});
    }
  }
  Schedule out = schedule;
  for (size_t rank = 0; rank < events.size(); ++rank) {
    std::ranges::sort(events[rank], {}, [](const Event& event) {
      return std::tuple(event.time, event.starts, event.order);
    });
    out.ranks[rank].clear();
    for (const Event& event : events[rank]) out.ranks[rank].push_back(event.instruction);
  }
  return out;
}

}  // namespace

Schedule add_messages(const Schedule& schedule, Sends sends) {
  ASHLAR_CHECK(!schedule.has_messages(), "schedule {}: it has messages already", schedule.name);
  return sends == Sends::kBuffered ? with_buffered_messages(schedule)
                                   : with_rendezvous_messages(schedule);
}

Schedule add_update(const Schedule& schedule) {
  Schedule out = schedule;
  for (size_t rank = 0; rank < out.ranks.size(); ++rank) {
    const InstructionList& list = schedule.ranks[rank];
    const size_t chunks = schedule.stages.chunks(static_cast<int>(rank)).size();
    std::vector<size_t> last(chunks, list.size());  // gradient of each chunk's weights
    for (size_t i = 0; i < list.size(); ++i) {
      const Kind kind = list[i].kind;
      ASHLAR_CHECK(kind != Kind::kReduce && kind != Kind::kStep,
                   "schedule {}: rank {}, instruction {} ({}): it has an update already",
                   schedule.name, rank, i, str(schedule, static_cast<int>(rank), list[i]));
      if (kind == Kind::kWeightGrad || kind == Kind::kBackward) {
        last[static_cast<size_t>(list[i].chunk)] = i;
      }
    }
    for (size_t& i : last) {  // a gradient that another rank waits for leaves first
      while (i + 1 < list.size() && is_send(list[i + 1].kind)) ++i;
    }
    InstructionList& with = out.ranks[rank];
    with.clear();
    for (size_t i = 0; i <= list.size(); ++i) {
      if (i < list.size()) with.push_back(list[i]);
      for (size_t chunk = 0; chunk < chunks; ++chunk) {
        if (last[chunk] == i) with.push_back({Kind::kReduce, -1, static_cast<int>(chunk)});
      }
    }
    with.push_back({Kind::kStep});
  }
  return out;
}

Schedule forwards(const StageMap& stages) {
  std::vector<int> ranks;
  for (int stage = 0; stage < stages.stages(); ++stage) ranks.push_back(stages.rank(0, stage));
  Schedule schedule = empty_schedule("forwards", StageMap({ranks}), 1);
  for (int stage = 0; stage < stages.stages(); ++stage) {
    const int rank = schedule.stages.rank(0, stage);
    schedule.ranks[static_cast<size_t>(rank)].push_back(
        forward(0, schedule.stages.chunk(0, stage)));
  }
  return add_messages(schedule);
}

Schedule ready_to_run(const Schedule& schedule) {
  Schedule out = schedule.has_messages() ? schedule : add_messages(schedule);
  const bool steps = std::ranges::any_of(out.ranks, [](const InstructionList& list) {
    return std::ranges::any_of(list,
                               [](const Instruction& each) { return each.kind == Kind::kStep; });
  });
  if (!steps) out = add_update(out);
  check(out);
  return out;
}

}  // namespace ashlar::schedule
