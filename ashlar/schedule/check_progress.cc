#include "ashlar/schedule/check_progress.h"

#include "ashlar/base/error.h"
#include "ashlar/schedule/text.h"
#include "ashlar/schedule/values.h"

#include <fmt/format.h>

#include <optional>
#include <string>
#include <vector>

namespace ashlar::schedule {
namespace {

class Progress {
 public:
  Progress(const Schedule& schedule, Sends sends)
      : schedule_(schedule),
        values_(schedule),
        explicit_(schedule.has_messages()),
        rendezvous_(sends == Sends::kRendezvous),
        there_(values_.count()),
        at_(schedule.ranks.size()) {}

  void run() {
    for (bool moved = true; moved;) {
      moved = false;
      for (int rank = 0; rank < schedule_.stages.ranks(); ++rank) {
        while (!ended(rank) && !waits_for(rank)) {
          finish(rank);
          moved = true;
        }
      }
    }
    for (int rank = 0; rank < schedule_.stages.ranks(); ++rank) {
      if (!ended(rank)) fail_stuck(rank);
    }
  }

 private:
  size_t& at(int rank) { return at_[static_cast<size_t>(rank)]; }
  const InstructionList& list(int rank) const { return schedule_.ranks[static_cast<size_t>(rank)]; }
  bool ended(int rank) { return at(rank) == list(rank).size(); }
  const Instruction& head(int rank) { return list(rank)[at(rank)]; }

  // The value without which the rank cannot go on. A rendezvous happens when both sides are there:
  // the sender then passes both.
  std::optional<size_t> waits_for(int rank) {
    const Instruction& next = head(rank);
    if (is_send(next.kind) && rendezvous_) {
      const auto value = values_.output(rank, next);
      const int to = values_.user(*value);
      if (!ended(to) && head(to) == values_.recv(*value)) return std::nullopt;
      return value;
    }
    if (!is_compute(next.kind) && !is_recv(next.kind)) return std::nullopt;
    const auto value = values_.input(rank, next);
    return value && !there_[*value] ? value : std::nullopt;
  }

  void finish(int rank) {
    const Instruction next = head(rank);
    ++at(rank);
    if (!is_compute(next.kind) && !is_send(next.kind)) return;
    const auto value = values_.output(rank, next);
    if (!value) return;
    const bool hands_over = is_send(next.kind) || !explicit_ || !values_.travels(*value);
    if (hands_over) there_[*value] = true;
    if (is_send(next.kind) && rendezvous_) ++at(values_.user(*value));
  }

  [[noreturn]] void fail_stuck(int rank) {
    std::string chain;
    std::vector<bool> seen(schedule_.ranks.size());
    while (!seen[static_cast<size_t>(rank)] && !ended(rank)) {
      seen[static_cast<size_t>(rank)] = true;
      const size_t value = *waits_for(rank);
      const bool sends = is_send(head(rank).kind);
      const int other = sends ? values_.user(value) : values_.maker(value);
      chain += fmt::format(
          "{}rank {} waits at instruction {} ({}) {}", chain.empty() ? "" : "; ", rank, at(rank),
          str(schedule_, rank, head(rank)),
          sends ? fmt::format("for rank {} to receive it", other) : "for " + values_.str(value));
      rank = other;
    }
    fail("schedule {} gets stuck: {}", schedule_.name, chain);
  }

  const Schedule& schedule_;
  Values values_;
  bool explicit_, rendezvous_;
  std::vector<bool> there_;  // values that their users can have
  std::vector<size_t> at_;
};

}  // namespace

void check_progress(const Schedule& schedule, Sends sends) { Progress(schedule, sends).run(); }

}  // namespace ashlar::schedule
