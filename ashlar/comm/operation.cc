#include "ashlar/comm/operation.h"

#include "ashlar/comm/reduction.h"

#include <algorithm>
#include <cstring>

namespace ashlar::comm {
namespace {

template <typename... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <typename... F>
Overloaded(F...) -> Overloaded<F...>;

}  // namespace

Operation::Operation(MessageCommunicator& owner, Program program, Traffic& traffic,
                     std::string what)
    : owner_(owner), program_(std::move(program)), traffic_(traffic), what_(std::move(what)) {
  transfers_.reserve(program_.transfers());
  owner_.under_way_.push_back(this);
}

Operation::~Operation() { std::erase(owner_.under_way_, this); }

bool Operation::done() {
  owner_.poll();
  return finished();
}

void Operation::wait() { owner_.wait(*this); }

int Operation::awaited_rank() const {
  return open_ < transfers_.size() ? transfers_[open_].peer : -1;
}

Traffic& Operation::waiting_for() {
  return open_ < transfers_.size() ? *transfers_[open_].traffic : traffic_;
}

void Operation::advance() {
  while (true) {
    const bool transfers = advance_transfers(), steps = advance_steps();
    if (!transfers && !steps) return;
    ++moves_;
  }
}

bool Operation::advance_transfers() {
  bool moved = false;
  for (size_t i = open_; i < transfers_.size(); ++i) {
    std::unique_ptr<Transport::Request>& request = transfers_[i].request;
    if (!request || !owner_.transport_.done(*request)) continue;
    request.reset();
    moved = true;
  }
  while (open_ < transfers_.size() && !transfers_[open_].request) ++open_;
  return moved;
}

bool Operation::advance_steps() {
  const size_t before = step_;
  while (step_ < program_.steps().size() && perform(program_.steps()[step_])) ++step_;
  return step_ != before;
}

bool Operation::perform(const Step& step) {
  Transport& transport = owner_.transport_;
  return std::visit(
      Overloaded{
          [&](const SendStep& s) {
            transfers_.push_back(
                {transport.send(s.to, s.tag, s.data, s.bytes, what_), s.to, s.traffic});
            s.traffic->bytes += static_cast<int64_t>(s.bytes);
            ++s.traffic->messages;
            return true;
          },
          [&](const RecvStep& s) {
            transfers_.push_back(
                {transport.recv(s.from, s.tag, s.data, s.bytes, what_), s.from, s.traffic});
            return true;
          },
          [&](const AwaitStep& s) { return open_ >= s.transfers; },
          [&](const ReduceStep& s) {
            reduce_in_order(s.dtype, s.reduce, s.terms, s.out, s.elements);
            return true;
          },
          [&](const CopyStep& s) {
            std::memcpy(s.to, s.from, s.bytes);
            return true;
          },
      },
      step);
}

}  // namespace ashlar::comm
