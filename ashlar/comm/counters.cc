#include "ashlar/comm/counters.h"

namespace ashlar::comm {

std::string_view name(CommOp op) {
  constexpr std::string_view names[] = {"send",       "recv",      "barrier",    "broadcast",
                                        "gather",     "scatter",   "all_gather", "reduce_scatter",
                                        "all_reduce", "all_to_all"};
  return names[static_cast<int>(op)];
}

Traffic& Traffic::operator+=(const Traffic& other) {
  bytes += other.bytes;
  messages += other.messages;
  seconds_waited += other.seconds_waited;
  return *this;
}

Traffic Counters::of(std::string_view axis, CommOp op) const {
  const auto found = entries_.find(Key(axis, op));
  return found == entries_.end() ? Traffic{} : found->second;
}

Traffic Counters::axis(std::string_view name) const {
  Traffic sum;
  for (const auto& [key, traffic] : entries_)
    if (key.first == name) sum += traffic;
  return sum;
}

Traffic Counters::total() const {
  Traffic sum;
  for (const auto& [key, traffic] : entries_) sum += traffic;
  return sum;
}

void Counters::reset() {
  for (auto& [key, traffic] : entries_) traffic = {};
}

Traffic& Counters::entry(std::string_view axis, CommOp op) { return entries_[Key(axis, op)]; }

}  // namespace ashlar::comm
