#include "ashlar/schedule/check.h"

#include "ashlar/base/error.h"
#include "ashlar/schedule/check_progress.h"
#include "ashlar/schedule/text.h"
#include "ashlar/schedule/values.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace ashlar::schedule {
namespace {

constexpr int kNowhere = -1;
enum Part { kF, kB, kW, kParts };
constexpr const char* kPartNames[kParts] = {"forward", "input gradient", "weight gradient"};

// What each rank's list says by itself, in one walk from its beginning to its end.
class LocalCheck {
 public:
  LocalCheck(const Schedule& schedule, int rank, std::vector<int>& replica_of)
      : schedule_(schedule),
        values_(schedule),
        rank_(rank),
        list_(schedule.ranks[static_cast<size_t>(rank)]),
        chunks_(schedule.stages.chunks(rank).size()),
        replica_of_(replica_of),
        explicit_(schedule.has_messages()),
        done_(chunks_ * static_cast<size_t>(schedule.microbatches), {kNowhere, kNowhere, kNowhere}),
        evicted_(done_.size()),
        weights_(chunks_, Weights::kUnknown),
        reduced_(chunks_),
        sent_(values_.count(), kNowhere),
        received_(values_.count(), kNowhere) {}

  void run() {
    for (at_ = 0; at_ < list_.size(); ++at_) {
      check_operands();
      require(!stepped_, "it stands after the step");
      dispatch();
    }
    at_ = list_.size();
  }

  // Which part of a microbatch on a chunk is missing, if any.
  void require_complete(int microbatch, int chunk) const {
    for (const int part : {kF, kB, kW}) {
      const size_t place = slot(microbatch, chunk);
      if (done_[place][static_cast<size_t>(part)] != kNowhere) continue;
      fail("schedule {}: rank {}: microbatch {} has no {} on chunk {} (stage {})", schedule_.name,
           rank_, microbatch, kPartNames[part], chunk, schedule_.stages.at(rank_, chunk).stage);
    }
  }
  // Of a value made here for another rank, or used here from another rank.
  int sent_at(size_t value) const { return sent_[value]; }
  int received_at(size_t value) const { return received_[value]; }
  bool reduces(int chunk) const { return reduced_[static_cast<size_t>(chunk)]; }
  const std::vector<int>& reduced_stages() const { return reduced_stages_; }  // in order
  bool steps() const { return stepped_; }

 private:
  enum class Weights : uint8_t { kUnknown, kThere, kAway };

  template <typename... Args>
  void require(bool condition, fmt::format_string<Args...> format, Args&&... args) const {
    if (condition) return;
    fail("schedule {}: rank {}, instruction {} ({}): {}", schedule_.name, rank_, at_,
         str(schedule_, rank_, list_[at_]), fmt::format(format, std::forward<Args>(args)...));
  }

  size_t slot(int microbatch, int chunk) const {
    return static_cast<size_t>(microbatch) * chunks_ + static_cast<size_t>(chunk);
  }
  const Instruction& now() const { return list_[at_]; }
  std::array<int, kParts>& done() { return done_[slot(now().microbatch, now().chunk)]; }
  Weights& weights() { return weights_[static_cast<size_t>(now().chunk)]; }

  void check_operands() {
    const Instruction& i = now();
    require(i.chunk >= 0 && static_cast<size_t>(i.chunk) < chunks_,
            "there is no chunk {}, the rank has {}", i.chunk, chunks_);
    const bool may_lack = i.kind >= Kind::kGather;
    require(i.microbatch < schedule_.microbatches && (i.microbatch >= 0 || may_lack),
            "there is no microbatch {}, there are {}", i.microbatch, schedule_.microbatches);
    if (i.microbatch < 0) return;
    int& replica = replica_of_[static_cast<size_t>(i.microbatch)];
    const int here = schedule_.stages.at(rank_, i.chunk).replica;
    require(replica == kNowhere || replica == here,
            "chunk {} belongs to replica {}, but microbatch {} runs on replica {} already", i.chunk,
            here, i.microbatch, replica);
    replica = here;
  }

  void dispatch() {
    const Instruction& i = now();
    if (is_compute(i.kind)) return compute();
    if (is_send(i.kind)) return send();
    if (is_recv(i.kind)) return recv();
    if (i.kind == Kind::kStep) {
      stepped_ = true;
    } else if (i.kind == Kind::kReduce) {
      reduce();
    } else if (i.kind == Kind::kGather || i.microbatch < 0) {
      move_weights();
    } else {
      move_saved();
    }
  }

  void compute() {
    const Kind kind = now().kind;
    if (kind == Kind::kForward) once(kF);
    if (gives_gradient(kind)) {
      after(kF);
      once(kB);
    }
    if (kind == Kind::kWeightGrad) after(kB);
    if (kind == Kind::kWeightGrad || kind == Kind::kBackward) {
      once(kW);
      require(!reduced_[static_cast<size_t>(now().chunk)],
              "chunk {} is reduced already, this gradient would be lost", now().chunk);
    }
    require(weights() != Weights::kAway, "the weights of chunk {} were evicted and did not return",
            now().chunk);
    weights() = Weights::kThere;
    require(!evicted_[slot(now().microbatch, now().chunk)],
            "what microbatch {} saved on chunk {} was evicted and did not return", now().microbatch,
            now().chunk);
    const auto input = explicit_ ? values_.input(rank_, now()) : std::nullopt;
    if (input && values_.travels(*input)) {
      require(received_[*input] != kNowhere, "{} has not been received", values_.str(*input));
    }
  }

  void once(Part part) {
    int& when = done()[static_cast<size_t>(part)];
    require(when == kNowhere, "the {} of microbatch {} on chunk {} ran at instruction {} already",
            kPartNames[part], now().microbatch, now().chunk, when);
    when = static_cast<int>(at_);
  }
  void after(Part part) {
    require(done()[static_cast<size_t>(part)] != kNowhere,
            "the {} of microbatch {} on chunk {} has not run before it", kPartNames[part],
            now().microbatch, now().chunk);
  }

  void send() {
    const auto value = values_.output(rank_, now());
    require(value.has_value(), "stage {} has no neighbour on that side",
            schedule_.stages.at(rank_, now().chunk).stage);
    check_message(*value, values_.to_stage(*value), sent_);
    const bool made = done()[values_.is_gradient(*value) ? kB : kF] != kNowhere;
    require(made, "the {} of microbatch {} on chunk {} has not run before it",
            kPartNames[values_.is_gradient(*value) ? kB : kF], now().microbatch, now().chunk);
  }
  void recv() {
    const auto value = values_.input(rank_, now());
    require(value.has_value(), "stage {} has no neighbour on that side",
            schedule_.stages.at(rank_, now().chunk).stage);
    check_message(*value, values_.from_stage(*value), received_);
  }
  void check_message(size_t value, int peer, std::vector<int>& seen) {
    require(now().peer == peer, "stage {} exchanges this with stage {}",
            schedule_.stages.at(rank_, now().chunk).stage, peer);
    require(values_.travels(value), "stage {} is on this rank too: no message is needed", peer);
    require(seen[value] == kNowhere, "instruction {} did that already", seen[value]);
    seen[value] = static_cast<int>(at_);
  }

  void reduce() {
    require(!reduced_[static_cast<size_t>(now().chunk)], "chunk {} is reduced already",
            now().chunk);
    reduced_[static_cast<size_t>(now().chunk)] = true;
    reduced_stages_.push_back(schedule_.stages.at(rank_, now().chunk).stage);
  }

  void move_weights() {
    const bool leave = now().kind == Kind::kEvict;
    require(weights() != (leave ? Weights::kAway : Weights::kThere),
            "the weights of chunk {} are {} already", now().chunk, leave ? "away" : "here");
    weights() = leave ? Weights::kAway : Weights::kThere;
  }
  void move_saved() {
    after(kF);
    require(done()[kW] == kNowhere, "microbatch {} is done on chunk {} and holds nothing",
            now().microbatch, now().chunk);
    const size_t place = slot(now().microbatch, now().chunk);
    const bool leave = now().kind == Kind::kEvict;
    require(evicted_[place] != leave, "what microbatch {} saved on chunk {} is {} already",
            now().microbatch, now().chunk, leave ? "away" : "here");
    evicted_[place] = leave;
  }

  const Schedule& schedule_;
  Values values_;
  int rank_;
  const InstructionList& list_;
  size_t chunks_;
  std::vector<int>& replica_of_;
  bool explicit_;
  size_t at_ = 0;
  std::vector<std::array<int, kParts>> done_;  // where each part of (microbatch, chunk) ran
  std::vector<bool> evicted_;
  std::vector<Weights> weights_;
  std::vector<bool> reduced_;
  std::vector<int> reduced_stages_;
  std::vector<int> sent_, received_;
  bool stepped_ = false;
};

// What the ranks' lists say together.
class WholeCheck {
 public:
  explicit WholeCheck(const Schedule& schedule)
      : schedule_(schedule),
        map_(schedule.stages),
        replica_of_(static_cast<size_t>(schedule.microbatches), kNowhere) {}

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
  const LocalCheck& local(int rank) const { return locals_[static_cast<size_t>(rank)]; }

  void check_microbatch(int microbatch) {
    const int replica = replica_of_[static_cast<size_t>(microbatch)];
    ASHLAR_CHECK(replica != kNowhere, "schedule {}: microbatch {} of {} is on no rank",
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
      if ((sent == kNowhere) == (received == kNowhere)) continue;
      const auto name = [&](int rank, int at) {
        return str(schedule_, rank,
                   schedule_.ranks[static_cast<size_t>(rank)][static_cast<size_t>(at)]);
      };
      ASHLAR_CHECK(sent != kNowhere, "schedule {}: rank {}, instruction {} ({}): {} is never sent",
                   schedule_.name, to, received, name(to, received), values.str(value));
      fail("schedule {}: rank {}, instruction {} ({}): rank {} never receives it", schedule_.name,
           from, sent, name(from, sent), to);
    }
  }

  // Copies of a stage's weights that are stepped must all add their gradients.
  void check_update() {
    int stepping = kNowhere, waiting = kNowhere;
    for (int rank = 0; rank < map_.ranks(); ++rank) {
      (local(rank).steps() ? stepping : waiting) = rank;
    }
    ASHLAR_CHECK(stepping == kNowhere || waiting == kNowhere,
                 "schedule {}: rank {} ends with a step, but rank {} has none", schedule_.name,
                 stepping, waiting);
    for (int stage = 0; stage < map_.stages(); ++stage) {
      int reducing = kNowhere, other = kNowhere;
      for (int replica = 0; replica < map_.replicas(); ++replica) {
        const int rank = map_.rank(replica, stage);
        (local(rank).reduces(map_.chunk(replica, stage)) ? reducing : other) = rank;
      }
      ASHLAR_CHECK(reducing == kNowhere || other == kNowhere,
                   "schedule {}: stage {} has {} copies: rank {} reduces its gradients, rank {} "
                   "does not",
                   schedule_.name, stage, map_.replicas(), reducing, other);
      ASHLAR_CHECK(map_.replicas() == 1 || stepping == kNowhere || reducing != kNowhere,
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
  std::vector<LocalCheck> locals_;
};

}  // namespace

void check(const Schedule& schedule, Sends sends) {
  WholeCheck(schedule).run();
  check_progress(schedule, sends);
}

}  // namespace ashlar::schedule
