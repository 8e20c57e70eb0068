// What instructions hand to each other across stages: the activation that a forward leaves for the
// next stage, the gradient that a backward leaves for the stage before. Numbered, so that whoever
// walks a schedule can mark in a plain array what is there.
#pragma once

#include "ashlar/schedule/schedule.h"

#include <optional>
#include <string>

namespace ashlar::schedule {

class Values {
 public:
  explicit Values(const Schedule& schedule) : map_(schedule.stages), m_(schedule.microbatches) {}

  size_t count() const;

  // What F, B, BW on a rank make or its SA, SG send; nothing at the pipeline's two ends.
  std::optional<size_t> output(int rank, const Instruction& instruction) const;
  // What F, B, BW on a rank need from a neighbouring stage or its RA, RG receive.
  std::optional<size_t> input(int rank, const Instruction& instruction) const;
  // The rank at the other end of a message or of the input of F, B, BW.
  int maker(size_t value) const;
  int user(size_t value) const;
  // Whether that is another rank, so that a message is needed.
  bool travels(size_t value) const;
  int from_stage(size_t value) const { return parts(value).stage; }
  int to_stage(size_t value) const;
  bool is_gradient(size_t value) const { return parts(value).gradient; }
  int microbatch(size_t value) const { return parts(value).microbatch; }
  int replica(size_t value) const { return parts(value).replica; }
  std::string str(size_t value) const;  // "the activation of microbatch 3 from stage 1"

  // The message on either side.
  Instruction send(size_t value) const;
  Instruction recv(size_t value) const;

 private:
  struct Parts {
    bool gradient;
    int replica, stage, microbatch;  // of the maker
  };
  size_t id(const Parts& parts) const;
  Parts parts(size_t value) const;

  const StageMap& map_;
  int m_;
};

}  // namespace ashlar::schedule
