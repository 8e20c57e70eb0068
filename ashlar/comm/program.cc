#include "ashlar/comm/program.h"

#include <algorithm>

namespace ashlar::comm {
namespace {

constexpr size_t kLongestMessage = size_t{1} << 30;  // MPI counts bytes in an int

// f(offset, length) for each message of a transfer; an empty transfer is one empty message.
template <typename F>
void each_message(size_t bytes, F f) {
  size_t offset = 0;
  do {
    const size_t length = std::min(kLongestMessage, bytes - offset);
    f(offset, length);
    offset += length;
  } while (offset < bytes);
}

}  // namespace

void Program::send(const Peers& peers, int to, const std::byte* data, size_t bytes) {
  const auto i = static_cast<size_t>(to);
  each_message(bytes, [&](size_t offset, size_t length) {
    steps_.push_back(SendStep{peers.ranks[i], peers.tags[i], data + offset, length, peers.traffic});
    ++transfers_;
  });
}

void Program::recv(const Peers& peers, int from, std::byte* data, size_t bytes) {
  const auto i = static_cast<size_t>(from);
  each_message(bytes, [&](size_t offset, size_t length) {
    steps_.push_back(RecvStep{peers.ranks[i], peers.tags[i], data + offset, length, peers.traffic});
    ++transfers_;
  });
}

void Program::copy(const std::byte* from, std::byte* to, size_t bytes) {
  if (from != to && bytes > 0) steps_.push_back(CopyStep{from, to, bytes});
}

std::byte* Program::staging(size_t bytes) {
  return staging_.emplace_back(std::make_unique_for_overwrite<std::byte[]>(bytes)).get();
}

}  // namespace ashlar::comm
