#include "ashlar/text/jinja/runtime.h"

#include "ashlar/text/jinja/fault.h"
#include "ashlar/text/jinja/object.h"

#include <utility>

namespace ashlar::text::jinja {

Runtime::Runtime(const Limits& limits, std::function<std::tm()> now)
    : limits_(limits), now_(std::move(now)) {}

Runtime::~Runtime() {
  for (const auto& object : adopted_) object->clear();
}

void Runtime::step(int64_t count) {
  steps_ += count;
  if (steps_ > limits_.max_steps || steps_ < 0) {
    fault("template takes more than {} steps (max_steps)", limits_.max_steps);
  }
}

void Runtime::pay_bytes(uint64_t count) {
  if (count > static_cast<uint64_t>(limits_.max_bytes - bytes_)) {
    fault("template builds more than {} bytes of values (max_bytes)", limits_.max_bytes);
  }
  bytes_ += static_cast<int64_t>(count);
}

void Runtime::enter() {
  if (nesting_ >= limits_.max_nesting) {
    fault("template nests deeper than {} levels while rendering (max_nesting)",
          limits_.max_nesting);
  }
  ++nesting_;
}

// SplitMix64 (Steele, Lea, Flood 2014).
uint64_t Runtime::draw() {
  uint64_t z = ++draws_ * 0x9E3779B97F4A7C15ULL;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

void Runtime::adopt(std::shared_ptr<Object> object) {
  pay_bytes(128);
  adopted_.push_back(std::move(object));
}

}  // namespace ashlar::text::jinja
