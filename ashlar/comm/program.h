// One rank's part of a collective, as data: a list of steps that MessageCommunicator carries out in
// order. Transfers are started by their step and awaited by a later one.
#pragma once

#include "ashlar/comm/communicator.h"

#include <variant>
#include <vector>

namespace ashlar::comm {

// A group as a collective needs it: where its messages go, and where they are counted.
struct Peers {
  std::vector<int> ranks;  // of the job
  std::vector<int> tags;   // of the messages of this collective to and from each rank
  int index = 0;           // this rank
  Traffic* traffic = nullptr;

  int size() const { return static_cast<int>(ranks.size()); }
  int around(int i) const { return ((i % size()) + size()) % size(); }
};

struct SendStep {
  int to, tag;
  const std::byte* data;
  size_t bytes;
  Traffic* traffic;
};
struct RecvStep {
  int from, tag;
  std::byte* data;
  size_t bytes;
  Traffic* traffic;
};
struct AwaitStep {
  size_t transfers;  // this many of the program's transfers, from the first, are done
};
struct ReduceStep {
  DType dtype;
  Reduce reduce;
  std::vector<const std::byte*> terms;
  std::byte* out;
  int64_t elements;
};
struct CopyStep {
  const std::byte* from;
  std::byte* to;
  size_t bytes;
};
using Step = std::variant<SendStep, RecvStep, AwaitStep, ReduceStep, CopyStep>;

class Program {
 public:
  // `to` and `from` are indices in peers. Long ones go in several messages, empty ones in one.
  void send(const Peers& peers, int to, const std::byte* data, size_t bytes);
  void recv(const Peers& peers, int from, std::byte* data, size_t bytes);
  size_t transfers() const { return transfers_; }  // so far
  void await(size_t transfers) { steps_.push_back(AwaitStep{transfers}); }
  void await_all() { await(transfers_); }
  void reduce(ReduceStep step) { steps_.push_back(std::move(step)); }
  void copy(const std::byte* from, std::byte* to, size_t bytes);  // nothing if they are the same

  std::byte* staging(size_t bytes);  // memory that lives as long as the program
  const std::vector<Step>& steps() const { return steps_; }

 private:
  std::vector<Step> steps_;
  std::vector<std::unique_ptr<std::byte[]>> staging_;
  size_t transfers_ = 0;
};

}  // namespace ashlar::comm
