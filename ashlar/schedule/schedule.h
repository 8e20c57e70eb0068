// A pipeline schedule as data: for each rank, the instructions it runs, in order. Generators write
// it (generators.h), passes add communication and the update, check.h proves that it is complete
// and cannot deadlock, play.h times it, the executor runs it; text.h is what people write.
#pragma once

#include "ashlar/schedule/stage_map.h"

#include <cstdint>
#include <string>
#include <vector>

namespace ashlar::schedule {

enum class Kind : uint8_t {
  kForward,
  kInputGrad,   // B: the gradient of the chunk's input
  kWeightGrad,  // W: the gradients of its weights
  kBackward,    // BW: both at once
  // A message to or from the neighbouring stage `peer`; buffered or not, see communication.h.
  kSendActivation,
  kRecvActivation,
  kSendGradient,
  kRecvGradient,
  kGather,  // the chunk's weights come together from the ranks that share them
  kReduce,  // its gradients are summed over replicas and data ranks: starts, step waits for it
  kEvict,   // what microbatch saved on the chunk goes to the host; without one, the chunk's weights
            // are dropped, which the host or the shards still have
  kLoad,    // and comes back from the host: starts, its first use waits for it
  kStep,    // the optimizer's update of all chunks of the rank
};

struct Instruction {
  Kind kind = Kind::kForward;
  int microbatch = -1;  // -1: none
  int chunk = 0;        // of the rank
  int peer = -1;        // stage at the other end of a message
  bool operator==(const Instruction&) const = default;
};

inline Instruction forward(int microbatch, int chunk = 0) {
  return {Kind::kForward, microbatch, chunk};
}
inline Instruction input_grad(int microbatch, int chunk = 0) {
  return {Kind::kInputGrad, microbatch, chunk};
}
inline Instruction weight_grad(int microbatch, int chunk = 0) {
  return {Kind::kWeightGrad, microbatch, chunk};
}
inline Instruction backward(int microbatch, int chunk = 0) {
  return {Kind::kBackward, microbatch, chunk};
}

inline bool is_send(Kind kind) {
  return kind == Kind::kSendActivation || kind == Kind::kSendGradient;
}
inline bool is_recv(Kind kind) {
  return kind == Kind::kRecvActivation || kind == Kind::kRecvGradient;
}
inline bool is_compute(Kind kind) { return kind <= Kind::kBackward; }
// B or BW: what hands a gradient on to the stage before.
inline bool gives_gradient(Kind kind) {
  return kind == Kind::kInputGrad || kind == Kind::kBackward;
}

using InstructionList = std::vector<Instruction>;

struct Schedule {
  std::string name;
  int microbatches = 0;
  StageMap stages;
  std::vector<InstructionList> ranks;

  bool has_messages() const;
  bool operator==(const Schedule&) const = default;
};

// Far beyond any use; keeps a slip in a file from taking all memory.
inline constexpr int kMostMicrobatches = 1 << 16;

// A schedule without instructions. Throws for no microbatch, or too many.
Schedule empty_schedule(std::string name, StageMap stages, int microbatches);

}  // namespace ashlar::schedule
