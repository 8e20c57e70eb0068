#include "ashlar/schedule/values.h"

#include <fmt/format.h>

namespace ashlar::schedule {
namespace {

bool about_gradient(Kind kind) {
  return gives_gradient(kind) || kind == Kind::kSendGradient || kind == Kind::kRecvGradient;
}
bool about_activation(Kind kind) {
  return kind == Kind::kForward || kind == Kind::kSendActivation || kind == Kind::kRecvActivation;
}

}  // namespace

size_t Values::id(const Parts& parts) const {
  const int replica = (parts.gradient ? map_.replicas() : 0) + parts.replica;
  return static_cast<size_t>((replica * map_.stages() + parts.stage) * m_ + parts.microbatch);
}

Values::Parts Values::parts(size_t value) const {
  const int rest = static_cast<int>(value) / m_, replica = rest / map_.stages();
  return {replica >= map_.replicas(), replica % map_.replicas(), rest % map_.stages(),
          static_cast<int>(value) % m_};
}

size_t Values::count() const {
  return static_cast<size_t>(2 * map_.replicas() * map_.stages() * m_);
}

std::optional<size_t> Values::output(int rank, const Instruction& instruction) const {
  const Chunk at = map_.at(rank, instruction.chunk);
  if (about_activation(instruction.kind) && at.stage + 1 < map_.stages()) {
    return id({false, at.replica, at.stage, instruction.microbatch});
  }
  if (about_gradient(instruction.kind) && at.stage > 0) {
    return id({true, at.replica, at.stage, instruction.microbatch});
  }
  return std::nullopt;
}

std::optional<size_t> Values::input(int rank, const Instruction& instruction) const {
  const Chunk at = map_.at(rank, instruction.chunk);
  if (about_activation(instruction.kind) && at.stage > 0) {
    return id({false, at.replica, at.stage - 1, instruction.microbatch});
  }
  if (about_gradient(instruction.kind) && at.stage + 1 < map_.stages()) {
    return id({true, at.replica, at.stage + 1, instruction.microbatch});
  }
  return std::nullopt;
}

int Values::to_stage(size_t value) const {
  const Parts made = parts(value);
  return made.gradient ? made.stage - 1 : made.stage + 1;
}

int Values::maker(size_t value) const {
  const Parts made = parts(value);
  return map_.rank(made.replica, made.stage);
}

int Values::user(size_t value) const { return map_.rank(parts(value).replica, to_stage(value)); }

bool Values::travels(size_t value) const { return maker(value) != user(value); }

std::string Values::str(size_t value) const {
  const Parts made = parts(value);
  return fmt::format("the {} of microbatch {} from stage {} on rank {}",
                     made.gradient ? "gradient" : "activation", made.microbatch, made.stage,
                     maker(value));
}

Instruction Values::send(size_t value) const {
  const Parts made = parts(value);
  return {made.gradient ? Kind::kSendGradient : Kind::kSendActivation, made.microbatch,
          map_.chunk(made.replica, made.stage), to_stage(value)};
}

Instruction Values::recv(size_t value) const {
  const Parts made = parts(value);
  return {made.gradient ? Kind::kRecvGradient : Kind::kRecvActivation, made.microbatch,
          map_.chunk(made.replica, to_stage(value)), made.stage};
}

}  // namespace ashlar::schedule
