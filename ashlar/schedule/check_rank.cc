#include "ashlar/schedule/check_rank.h"

#include <optional>

namespace ashlar::schedule {
namespace {

constexpr const char* kPartNames[] = {"forward", "input gradient", "weight gradient"};

}  // namespace

RankCheck::RankCheck(const Schedule& schedule, int rank, std::vector<int>& replica_of)
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

void RankCheck::run() {
  for (at_ = 0; at_ < list_.size(); ++at_) {
    check_operands();
    require(!stepped_, "it stands after the step");
    dispatch();
  }
  at_ = list_.size();
}

void RankCheck::require_complete(int microbatch, int chunk) const {
  for (const int part : {kF, kB, kW}) {
    const size_t place = slot(microbatch, chunk);
    if (done_[place][static_cast<size_t>(part)] != kNowhere) continue;
    throw ListError(
        fmt::format("schedule {}: rank {}: microbatch {} has no {} on chunk {} (stage {})",
                    schedule_.name, rank_, microbatch, kPartNames[part], chunk,
                    schedule_.stages.at(rank_, chunk).stage),
        rank_, list_.size());
  }
}

void RankCheck::check_operands() {
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

void RankCheck::dispatch() {
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

void RankCheck::compute() {
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

void RankCheck::once(Part part) {
  int& when = done()[static_cast<size_t>(part)];
  require(when == kNowhere, "the {} of microbatch {} on chunk {} ran at instruction {} already",
          kPartNames[part], now().microbatch, now().chunk, when);
  when = static_cast<int>(at_);
}

void RankCheck::after(Part part) {
  require(done()[static_cast<size_t>(part)] != kNowhere,
          "the {} of microbatch {} on chunk {} has not run before it", kPartNames[part],
          now().microbatch, now().chunk);
}

void RankCheck::send() {
  const auto value = values_.output(rank_, now());
  require(value.has_value(), "stage {} has no neighbour on that side",
          schedule_.stages.at(rank_, now().chunk).stage);
  check_message(*value, values_.to_stage(*value), sent_);
  const bool made = done()[values_.is_gradient(*value) ? kB : kF] != kNowhere;
  require(made, "the {} of microbatch {} on chunk {} has not run before it",
          kPartNames[values_.is_gradient(*value) ? kB : kF], now().microbatch, now().chunk);
}

void RankCheck::recv() {
  const auto value = values_.input(rank_, now());
  require(value.has_value(), "stage {} has no neighbour on that side",
          schedule_.stages.at(rank_, now().chunk).stage);
  check_message(*value, values_.from_stage(*value), received_);
}

void RankCheck::check_message(size_t value, int peer, std::vector<int>& seen) {
  require(now().peer == peer, "stage {} exchanges this with stage {}",
          schedule_.stages.at(rank_, now().chunk).stage, peer);
  require(values_.travels(value), "stage {} is on this rank too: no message is needed", peer);
  require(seen[value] == kNowhere, "instruction {} did that already", seen[value]);
  seen[value] = static_cast<int>(at_);
}

void RankCheck::reduce() {
  require(!reduced_[static_cast<size_t>(now().chunk)], "chunk {} is reduced already", now().chunk);
  reduced_[static_cast<size_t>(now().chunk)] = true;
  reduced_stages_.push_back(schedule_.stages.at(rank_, now().chunk).stage);
}

void RankCheck::move_weights() {
  const bool leave = now().kind == Kind::kEvict;
  require(weights() != (leave ? Weights::kAway : Weights::kThere),
          "the weights of chunk {} are {} already", now().chunk, leave ? "away" : "here");
  weights() = leave ? Weights::kAway : Weights::kThere;
}

void RankCheck::move_saved() {
  after(kF);
  require(done()[kW] == kNowhere, "microbatch {} is done on chunk {} and holds nothing",
          now().microbatch, now().chunk);
  const size_t place = slot(now().microbatch, now().chunk);
  const bool leave = now().kind == Kind::kEvict;
  require(evicted_[place] != leave, "what microbatch {} saved on chunk {} is {} already",
          now().microbatch, now().chunk, leave ? "away" : "here");
  evicted_[place] = leave;
}

}  // namespace ashlar::schedule
