// The first part of check(): what the list of one rank says by itself, in one walk from its
// beginning to its end. What the lists say together is asked of it afterwards.
#pragma once

#include "ashlar/schedule/check.h"
#include "ashlar/schedule/schedule.h"
#include "ashlar/schedule/text.h"
#include "ashlar/schedule/values.h"

#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

namespace ashlar::schedule {

class RankCheck {
 public:
  static constexpr int kNowhere = -1;

  // replica_of[microbatch]: where it was seen so far, on any rank; kNowhere at first.
  RankCheck(const Schedule& schedule, int rank, std::vector<int>& replica_of);
  void run();

  // Which part of a microbatch on a chunk is missing, if any.
  void require_complete(int microbatch, int chunk) const;
  // Of a value made here for another rank, or used here from another rank.
  int sent_at(size_t value) const { return sent_[value]; }
  int received_at(size_t value) const { return received_[value]; }
  bool reduces(int chunk) const { return reduced_[static_cast<size_t>(chunk)]; }
  const std::vector<int>& reduced_stages() const { return reduced_stages_; }  // in order
  bool steps() const { return stepped_; }

 private:
  enum Part { kF, kB, kW, kParts };
  enum class Weights : uint8_t { kUnknown, kThere, kAway };

  template <typename... Args>
  void require(bool condition, fmt::format_string<Args...> format, Args&&... args) const {
    if (condition) return;
    throw ListError(fmt::format("schedule {}: rank {}, instruction {} ({}): {}", schedule_.name,
                                rank_, at_, str(schedule_, rank_, list_[at_]),
                                fmt::format(format, std::forward<Args>(args)...)),
                    rank_, at_);
  }

  size_t slot(int microbatch, int chunk) const {
    return static_cast<size_t>(microbatch) * chunks_ + static_cast<size_t>(chunk);
  }
  const Instruction& now() const { return list_[at_]; }
  std::array<int, kParts>& done() { return done_[slot(now().microbatch, now().chunk)]; }
  Weights& weights() { return weights_[static_cast<size_t>(now().chunk)]; }

  void check_operands();
  void dispatch();
  void compute();
  void once(Part part);
  void after(Part part);
  void send();
  void recv();
  void check_message(size_t value, int peer, std::vector<int>& seen);
  void reduce();
  void move_weights();
  void move_saved();

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

}  // namespace ashlar::schedule
