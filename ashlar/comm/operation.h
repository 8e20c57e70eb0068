// A Program being carried out: its place in the steps and its transfers under way.
#pragma once

#include "ashlar/comm/message_communicator.h"

#include <memory>
#include <string>
#include <vector>

namespace ashlar::comm {

class Operation final : public Work {
 public:
  Operation(MessageCommunicator& owner, Program program, Traffic& traffic, std::string what);
  ~Operation() override;
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

  bool done() override;
  void wait() override;

  void advance();                           // as far as it can without waiting
  int64_t moves() const { return moves_; }  // counts what advance() achieved
  bool finished() const { return step_ == program_.steps().size() && open_ == transfers_.size(); }
  const std::string& what() const { return what_; }
  int awaited_rank() const;  // of the oldest transfer under way; -1 none
  Traffic& waiting_for();    // where time spent in waiting counts

 private:
  struct Transfer {
    std::unique_ptr<Transport::Request> request;  // null once done
    int peer;
    Traffic* traffic;
  };

  bool advance_transfers();
  bool advance_steps();
  bool perform(const Step& step);  // false: not yet

  MessageCommunicator& owner_;
  Program program_;
  Traffic& traffic_;
  std::string what_;
  size_t step_ = 0;                  // the next one
  std::vector<Transfer> transfers_;  // in the order started
  size_t open_ = 0;                  // all before are done
  int64_t moves_ = 0;
};

}  // namespace ashlar::comm
