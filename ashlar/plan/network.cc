#include "ashlar/plan/network.h"

#include "ashlar/base/error.h"
#include "ashlar/sim/simulator.h"

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <utility>
#include <variant>

namespace ashlar::plan {
namespace {

// A rank in its list of steps, and which of its transfers are done.
struct Member {
  const comm::Program* program;
  size_t at = 0;
  std::vector<bool> done = {};
  size_t done_in_front = 0;  // the first transfers, without a gap
};

class Play {
 public:
  Play(const std::vector<RankProgram>& programs, const Network& network) : network_(network) {
    for (const RankProgram& each : programs) members_[each.rank] = {&each.program};
  }

  double run() {
    for (auto& [rank, member] : members_) {
      simulator_.at(0, [this, rank = rank] { advance(rank); });
    }
    simulator_.run();
    for (const auto& [rank, member] : members_) {
      ASHLAR_CHECK(member.at == member.program->steps().size(),
                   "collective: rank {} waits for ever in step {}", rank, member.at);
    }
    return simulator_.now();
  }

 private:
  // Where one end of a message is marked when it is done.
  struct End {
    int rank;
    size_t transfer;
  };
  // Between two ranks messages are received in the order sent.
  struct Lane {
    std::deque<End> arrived, posted;  // sends that are there, receives that wait
  };

  void advance(int rank) {
    Member& member = members_.at(rank);
    const auto& steps = member.program->steps();
    for (; member.at < steps.size(); ++member.at) {
      const comm::Step& step = steps[member.at];
      if (const auto* send = std::get_if<comm::SendStep>(&step)) {
        start(rank, *send, add_transfer(member));
      } else if (const auto* recv = std::get_if<comm::RecvStep>(&step)) {
        Lane& lane = lanes_[{recv->from, rank}];
        lane.posted.push_back({rank, add_transfer(member)});
        simulator_.after(0, [this, &lane] { match(lane); });
      } else if (const auto* await = std::get_if<comm::AwaitStep>(&step)) {
        if (member.done_in_front < await->transfers) return;
      }
    }
  }

  static size_t add_transfer(Member& member) {
    member.done.push_back(false);
    return member.done.size() - 1;
  }

  void start(int rank, const comm::SendStep& send, size_t transfer) {
    const bool across = network_.node(rank) != network_.node(send.to);
    auto& link = links_[{across, across ? network_.node(rank) : rank}];
    if (!link) {
      link = std::make_unique<sim::Link>(simulator_, across ? network_.across : network_.inside);
    }
    Lane& lane = lanes_[{rank, send.to}];
    link->transfer(static_cast<int64_t>(send.bytes), [this, &lane, end = End{rank, transfer}] {
      lane.arrived.push_back(end);
      match(lane);
    });
  }

  void match(Lane& lane) {
    while (!lane.arrived.empty() && !lane.posted.empty()) {
      for (std::deque<End>* ends : {&lane.arrived, &lane.posted}) {
        const End end = ends->front();
        ends->pop_front();
        finish(end);
      }
    }
  }

  void finish(const End& end) {
    Member& member = members_.at(end.rank);
    member.done[end.transfer] = true;
    while (member.done_in_front < member.done.size() && member.done[member.done_in_front]) {
      ++member.done_in_front;
    }
    simulator_.after(0, [this, rank = end.rank] { advance(rank); });
  }

  const Network& network_;
  sim::Simulator simulator_;
  std::map<int, Member> members_;
  std::map<std::pair<int, int>, Lane> lanes_;                         // from, to
  std::map<std::pair<bool, int>, std::unique_ptr<sim::Link>> links_;  // across, of whom
};

}  // namespace

double play_collective(const std::vector<RankProgram>& programs, const Network& network) {
  return Play(programs, network).run();
}

}  // namespace ashlar::plan
