#include "ashlar/runtime/mailbox.h"

#include "ashlar/base/error.h"

#include <algorithm>
#include <iterator>

namespace ashlar::runtime {
namespace {

constexpr int64_t kAlignment = 64;

int64_t aligned(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

void MessageLayout::add(Item item, const StageRunner& runner, const graph::Bindings& max) {
  item.dtype = runner.held(item.dtype);
  item.offset = bytes_;
  bytes_ += aligned(item.shape.bind(max).elements() * size_of(item.dtype));
  items_.push_back(std::move(item));
}

MessageLayout MessageLayout::sent(const graph::Stage& stage, const graph::Message& message,
                                  const StageRunner& runner, const graph::Bindings& max) {
  MessageLayout layout;
  for (const std::string& name : message) {
    const std::string output = graph::kSend + name;
    const graph::ValueType& type = stage.graph.type(stage.graph.output(output));
    layout.add({output, -1, type.dtype, type.shape, 0, stage.alike.contains(name)}, runner, max);
  }
  return layout;
}

MessageLayout MessageLayout::received(const graph::Stage& stage, const graph::Message& message,
                                      const StageRunner& runner, const graph::Bindings& max) {
  MessageLayout layout;
  const auto& inputs = stage.graph.inputs();
  for (const std::string& name : message) {
    const auto found = inputs.find(graph::kRecv + name);
    ASHLAR_CHECK(found != inputs.end(), "pipeline: stage {} has no input for the message value {}",
                 stage.index, name);
    const graph::ValueType& type = stage.graph.type(found->second);
    const auto input = static_cast<int>(std::distance(inputs.begin(), found));
    layout.add({"", input, type.dtype, type.shape, 0, stage.alike.contains(name)}, runner, max);
  }
  return layout;
}

Outbox::Letter& Outbox::take(int64_t bytes) {
  const auto free = std::ranges::find_if(letters_, [&](const auto& letter) {
    return !letter->held && letter->capacity >= bytes &&
           std::ranges::all_of(letter->under_way, &comm::Pending::done);
  });
  if (free == letters_.end()) {
    auto letter = std::make_unique<Letter>();
    letter->capacity = bytes;
    letter->memory = std::make_unique<std::byte[]>(static_cast<size_t>(bytes + kAlignment));
    void* start = letter->memory.get();
    size_t room = static_cast<size_t>(bytes + kAlignment);
    letter->data =
        static_cast<std::byte*>(std::align(kAlignment, static_cast<size_t>(bytes), start, room));
    letters_.push_back(std::move(letter));
    letters_.back()->held = true;
    return *letters_.back();
  }
  (*free)->under_way.clear();
  (*free)->held = true;
  return **free;
}

void Outbox::wait_for_all() {
  for (const auto& letter : letters_) {
    for (comm::Pending& pending : letter->under_way) pending.wait();
    letter->under_way.clear();
  }
}

int64_t Outbox::bytes() const {
  int64_t bytes = 0;
  for (const auto& letter : letters_) bytes += letter->capacity;
  return bytes;
}

}  // namespace ashlar::runtime
