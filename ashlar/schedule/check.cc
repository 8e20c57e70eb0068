#include "ashlar/schedule/check.h"

#include "ashlar/base/error.h"
#include "ashlar/schedule/check_progress.h"
#include "ashlar/schedule/check_rank.h"
#include "ashlar/schedule/text.h"
#include "ashlar/schedule/values.h"

#include <algorithm>
#include <vector>

namespace ashlar::schedule {
namespace {

// What the ranks' lists say together.
class WholeCheck {
 public:
  explicit WholeCheck(const Schedule& schedule)
      : schedule_(schedule),
        map_(schedule.stages),
        replica_of_(static_cast<size_t>(schedule.microbatches), RankCheck::kNowhere) {}

  void run() {
    ASHLAR_CHECK(static_cast<int>(schedule_.ranks.size()) == map_.ranks(),
                 "schedule {}: {} lists of instructions, but stages are on {} ranks",
                 schedule_.name, schedule_.ranks.size(), map_.ranks());
    for (int rank = 0; rank < map_.ranks(); ++rank) {
      locals_.emplace_back(schedule_, rank, replica_of_);
      locals_.back().run();
    }
    for (int k = 0; k < schedule_.microbatches; ++k) check_microbatch(k);
    if (schedule_.has_messages()) check_messages();
    check_update();
  }

 private:
  const RankCheck& local(int rank) const { return locals_[static_cast<size_t>(rank)]; }

  void check_microbatch(int microbatch) {
    const int replica = replica_of_[static_cast<size_t>(microbatch)];
    ASHLAR_CHECK(replica != RankCheck::kNowhere, "schedule {}: microbatch {} of {} is on no rank",
                 schedule_.name, microbatch, schedule_.microbatches);
    for (int stage = 0; stage < map_.stages(); ++stage) {
      local(map_.rank(replica, stage)).require_complete(microbatch, map_.chunk(replica, stage));
    }
  }

  void check_messages() {
    const Values values(schedule_);
    for (size_t value = 0; value < values.count(); ++value) {
      const bool gradient = values.is_gradient(value);
      if (values.from_stage(value) == (gradient ? 0 : map_.stages() - 1)) continue;
      if (!values.travels(value)) continue;
      const int from = values.maker(value), to = values.user(value);
      const int sent = local(from).sent_at(value), received = local(to).received_at(value);
      if ((sent == RankCheck::kNowhere) == (received == RankCheck::kNowhere)) continue;
      const auto name = [&](int rank, int at) {
        return str(schedule_, rank,
                   schedule_.ranks[static_cast<size_t>(rank)][static_cast<size_t>(at)]);
      };
      ASHLAR_CHECK(sent != RankCheck::kNowhere,
                   "schedule {}: rank {}, instruction {} ({}): {} is never sent", schedule_.name,
                   to, received, name(to, received), values.str(value));
      fail("schedule {}: rank {}, instruction {} ({}): rank {} never receives it", schedule_.name,
           from, sent, name(from, sent), to);
    }
  }

  // Copies of a stage's weights that are stepped must all add their gradients.
  void check_update() {
    int stepping = RankCheck::kNowhere, waiting = RankCheck::kNowhere;
    for (int rank = 0; rank < map_.ranks(); ++rank) {
      (local(rank).steps() ? stepping : waiting) = rank;
    }
    ASHLAR_CHECK(stepping == RankCheck::kNowhere || waiting == RankCheck::kNowhere,
                 "schedule {}: rank {} ends with a step, but rank {} has none", schedule_.name,
                 stepping, waiting);
    for (int stage = 0; stage < map_.stages(); ++stage) {
      int reducing = RankCheck::kNowhere, other = RankCheck::kNowhere;
      for (int replica = 0; replica < map_.replicas(); ++replica) {
        const int rank = map_.rank(replica, stage);
        (local(rank).reduces(map_.chunk(replica, stage)) ? reducing : other) = rank;
      }
      ASHLAR_CHECK(reducing == RankCheck::kNowhere || other == RankCheck::kNowhere,
                   "schedule {}: stage {} has {} copies: rank {} reduces its gradients, rank {} "
                   "does not",
                   schedule_.name, stage, map_.replicas(), reducing, other);
      ASHLAR_CHECK(map_.replicas() == 1 || stepping == RankCheck::kNowhere ||
                       reducing != RankCheck::kNowhere,
                   "schedule {}: stage {} has {} copies, but rank {} steps without a reduce",
                   schedule_.name, stage, map_.replicas(), other);
    }
    for (int a = 0; map_.replicas() > 1 && a < map_.ranks(); ++a) {
      for (int b = a + 1; b < map_.ranks(); ++b) check_reduce_order(a, b);
    }
  }

  // Ranks must start what they do together in one order.
  void check_reduce_order(int a, int b) {
    const auto shared = [&](int rank, int other) {
      std::vector<int> stages = local(rank).reduced_stages();
      std::erase_if(stages, [&](int stage) {
        return std::ranges::count(local(other).reduced_stages(), stage) == 0;
      });
      return stages;
    };
    const std::vector<int> of_a = shared(a, b), of_b = shared(b, a);
    const auto [at_a, at_b] = std::ranges::mismatch(of_a, of_b);
    ASHLAR_CHECK(at_a == of_a.end() || at_b == of_b.end(),
                 "schedule {}: ranks {} and {} reduce stages in different orders: {} is next on "
                 "one, {} on the other",
                 schedule_.name, a, b, *at_a, *at_b);
  }

  const Schedule& schedule_;
  const StageMap& map_;
  std::vector<int> replica_of_;  // of each microbatch
  std::vector<RankCheck> locals_;
};

}  // namespace

void check(const Schedule& schedule, Sends sends) {
  WholeCheck(schedule).run();
  check_progress(schedule, sends);
}

}  // namespace ashlar::schedule
