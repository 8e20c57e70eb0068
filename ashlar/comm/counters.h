// What a rank has sent and how long it has waited, per axis (a group's name) and kind of operation.
// Bytes are payload, exact; a message is one send, an empty one included.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace ashlar::comm {

enum class CommOp : uint8_t {
  kSend,
  kRecv,
  kBarrier,
  kBroadcast,
  kGather,
  kScatter,
  kAllGather,
  kReduceScatter,
  kAllReduce,
  kAllToAll
};
std::string_view name(CommOp op);  // "all_reduce"

struct Traffic {
  int64_t bytes = 0, messages = 0;  // sent by this rank
  double seconds_waited = 0;        // spent in waits: communication that nothing hid

  Traffic& operator+=(const Traffic& other);
};

class Counters {
 public:
  using Key = std::pair<std::string, CommOp>;  // axis, op

  Traffic of(std::string_view axis, CommOp op) const;  // zero where nothing ran
  Traffic axis(std::string_view name) const;           // all its ops
  Traffic total() const;
  const std::map<Key, Traffic>& entries() const { return entries_; }
  void reset();

  // Where an operation counts; stays valid.
  Traffic& entry(std::string_view axis, CommOp op);

 private:
  std::map<Key, Traffic> entries_;
};

}  // namespace ashlar::comm
