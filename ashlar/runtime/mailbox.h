// Memory for messages between stages. A message is a few values of one microbatch, each a message
// of its own on the way, so that it is sent without padding.
#pragma once

#include "ashlar/comm/communicator.h"
#include "ashlar/graph/stage.h"
#include "ashlar/runtime/arena.h"
#include "ashlar/runtime/stage_runner.h"

#include <memory>
#include <string>
#include <vector>

namespace ashlar::runtime {

// The values of one kind of message as they lie in a buffer.
class MessageLayout {
 public:
  struct Item {
    std::string output;  // of the graph that sends; empty where it is received
    int input = -1;      // of the graph that receives
    DType dtype = DType::kF32;
    graph::SymShape shape;
    int64_t offset = 0;
    bool alike = false;  // the tensor ranks hold the same: each sends its share
  };
  MessageLayout() = default;
  static MessageLayout sent(const graph::Stage& stage, const graph::Message& message,
                            const StageRunner& runner, const graph::Bindings& max);
  static MessageLayout received(const graph::Stage& stage, const graph::Message& message,
                                const StageRunner& runner, const graph::Bindings& max);

  const std::vector<Item>& items() const { return items_; }
  bool empty() const { return items_.empty(); }
  int64_t bytes() const { return bytes_; }

 private:
  void add(Item item, const StageRunner& runner, const graph::Bindings& max);

  std::vector<Item> items_;
  int64_t bytes_ = 0;
};

// What a microbatch received, until the last Program that reads it has run.
struct ReceivedMessage {
  std::byte* data = nullptr;
  std::vector<comm::Pending> under_way;
};

// Copies of what was sent, until it has arrived. A send never waits: when no buffer is free there
// is a new one, so there are as many as were ever on the way at once.
class Outbox {
 public:
  struct Letter {
    std::unique_ptr<std::byte[]> memory;
    int64_t capacity = 0;
    std::byte* data = nullptr;
    std::vector<comm::Pending> under_way;
    bool held = false;  // written, not sent yet
  };
  Letter& take(int64_t bytes);
  void wait_for_all();
  int64_t bytes() const;

 private:
  std::vector<std::unique_ptr<Letter>> letters_;
};

}  // namespace ashlar::runtime
