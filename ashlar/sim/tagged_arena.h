// Memory with a hard cap, counted by tag (params, grads, activations, ...). It holds no bytes, only
// the account of them: in use now, and the high-water mark, per tag and in all. What would pass the
// cap is an Error.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace ashlar::sim {

class TaggedArena {
 public:
  static constexpr int64_t kNoCap = std::numeric_limits<int64_t>::max();
  struct Usage {
    int64_t in_use = 0, peak = 0;
  };

  // Bytes in use until this dies or release() is called. The arena must outlive it.
  class Allocation {
   public:
    Allocation() = default;
    Allocation(Allocation&& other) noexcept { *this = std::move(other); }
    Allocation& operator=(Allocation&& other) noexcept {
      if (this == &other) return *this;
      release();
      arena_ = std::exchange(other.arena_, nullptr);
      tag_ = other.tag_;
      bytes_ = std::exchange(other.bytes_, 0);
      return *this;
    }
    ~Allocation() { release(); }
    void release();
    int64_t bytes() const { return bytes_; }

   private:
    friend class TaggedArena;
    Allocation(TaggedArena* arena, Usage* tag, int64_t bytes)
        : arena_(arena), tag_(tag), bytes_(bytes) {}
    TaggedArena* arena_ = nullptr;
    Usage* tag_ = nullptr;
    int64_t bytes_ = 0;
  };

  explicit TaggedArena(std::string name, int64_t cap = kNoCap);
  TaggedArena(const TaggedArena&) = delete;
  TaggedArena& operator=(const TaggedArena&) = delete;

  [[nodiscard]] Allocation allocate(std::string_view tag, int64_t bytes);

  const std::string& name() const { return name_; }
  int64_t cap() const { return cap_; }
  const Usage& total() const { return total_; }
  Usage usage(std::string_view tag) const;  // zeros for a tag that was never used
  const std::map<std::string, Usage, std::less<>>& tags() const { return tags_; }

 private:
  std::string name_;
  int64_t cap_;
  Usage total_;
  std::map<std::string, Usage, std::less<>> tags_;
};

}  // namespace ashlar::sim
