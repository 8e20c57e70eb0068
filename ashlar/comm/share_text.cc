#include "ashlar/comm/share_text.h"

#include <numeric>

namespace ashlar::comm {

std::vector<std::string> gather_texts(Communicator& comm, const std::string& own,
                                      Communicator::Label label) {
  const Group world = comm.world();
  const auto ranks = static_cast<size_t>(comm.size());
  const auto length = static_cast<int64_t>(own.size());
  std::vector<int64_t> lengths(ranks);
  comm.all_gather(world, buffer(std::span(&length, 1)), std::vector<int64_t>(ranks, 1),
                  buffer(std::span(lengths)), label);
  std::string all(static_cast<size_t>(std::reduce(lengths.begin(), lengths.end())), '\0');
  comm.all_gather(world, {DType::kU8, own.data(), length}, lengths,
                  {DType::kU8, all.data(), static_cast<int64_t>(all.size())}, label);
  std::vector<std::string> texts;
  size_t begin = 0;
  for (const int64_t bytes : lengths) {
    texts.push_back(all.substr(begin, static_cast<size_t>(bytes)));
    begin += static_cast<size_t>(bytes);
  }
  return texts;
}

std::string share_text(Communicator& comm, const std::string& text, Communicator::Label label) {
  auto length = static_cast<int64_t>(text.size());
  comm.broadcast(comm.world(), 0, buffer(std::span(&length, 1)), label);
  std::string shared = text;
  shared.resize(static_cast<size_t>(length));
  comm.broadcast(comm.world(), 0, {DType::kU8, shared.data(), length}, label);
  return shared;
}

}  // namespace ashlar::comm
