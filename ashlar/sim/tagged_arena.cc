#include "ashlar/sim/tagged_arena.h"

#include "ashlar/base/error.h"

#include <fmt/format.h>

#include <algorithm>

namespace ashlar::sim {
namespace {

void take(TaggedArena::Usage& usage, int64_t bytes) {
  usage.in_use += bytes;
  usage.peak = std::max(usage.peak, usage.in_use);
}

}  // namespace

void TaggedArena::Allocation::release() {
  if (arena_ == nullptr) return;
  arena_->total_.in_use -= bytes_;
  tag_->in_use -= bytes_;
  arena_ = nullptr;
  bytes_ = 0;
}

TaggedArena::TaggedArena(std::string name, int64_t cap) : name_(std::move(name)), cap_(cap) {
  ASHLAR_CHECK(cap >= 0, "{}: a cap of {} bytes", name_, cap);
}

TaggedArena::Allocation TaggedArena::allocate(std::string_view tag, int64_t bytes) {
  ASHLAR_CHECK(bytes >= 0, "{}: {} asks for {} bytes", name_, tag, bytes);
  if (bytes > cap_ - total_.in_use) {
    std::string holders;
    for (const auto& [name, usage] : tags_) {
      if (usage.in_use > 0) holders += fmt::format(", {} {}", name, usage.in_use);
    }
    fail("{}: {} asks for {} bytes, {} are in use, the cap is {}: {} too many{}", name_, tag, bytes,
         total_.in_use, cap_, bytes - (cap_ - total_.in_use),
         holders.empty() ? "" : " (in use:" + holders.substr(1) + ")");
  }
  Usage& usage = tags_.try_emplace(std::string(tag)).first->second;
  take(usage, bytes);
  take(total_, bytes);
  return {this, &usage, bytes};
}

TaggedArena::Usage TaggedArena::usage(std::string_view tag) const {
  const auto found = tags_.find(tag);
  return found == tags_.end() ? Usage{} : found->second;
}

}  // namespace ashlar::sim
