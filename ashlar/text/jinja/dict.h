// A Python dict: keys keep the place where they were first set. Keys are hashable values (strings,
// numbers, none, tuples of such), others are a Fault.
#pragma once

#include "ashlar/text/jinja/value.h"

#include <concepts>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace ashlar::text::jinja {

class Dict {
 public:
  using Entry = std::pair<Value, Value>;

  void set(const Value& key, Value value);
  const Value* find(const Value& key) const;  // nullptr when absent
  const Value* find(const std::convertible_to<std::string_view> auto& key) const {
    return find_text(key);
  }

  const std::vector<Entry>& entries() const { return entries_; }
  size_t size() const { return entries_.size(); }
  bool empty() const { return entries_.empty(); }
  int depth() const { return depth_; }
  int64_t weight() const { return weight_; }

 private:
  // Position in entries_, or -1.
  int64_t position(const Value& key) const;
  void build_index();
  const Value* find_text(std::string_view key) const;

  std::vector<Entry> entries_;
  std::unordered_multimap<size_t, size_t>
      index_;  // hash to position; empty while the dict is small
  int depth_ = 1;
  int64_t weight_ = 1;
};

}  // namespace ashlar::text::jinja
