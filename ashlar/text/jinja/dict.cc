#include "ashlar/text/jinja/dict.h"

#include "ashlar/text/jinja/comparison.h"

namespace ashlar::text::jinja {
namespace {

constexpr size_t kLinearSearchLimit = 12;

}  // namespace

void Dict::set(const Value& key, Value value) {
  const int64_t at = position(key);
  account_for_child(value, depth_, weight_);
  if (at >= 0) {
    entries_[static_cast<size_t>(at)].second = std::move(value);
    return;
  }
  account_for_child(key, depth_, weight_);
  entries_.emplace_back(key, std::move(value));
  if (!index_.empty()) {
    index_.emplace(hash(key), entries_.size() - 1);
  } else if (entries_.size() > kLinearSearchLimit) {
    build_index();
  }
}

const Value* Dict::find(const Value& key) const {
  const int64_t at = position(key);
  return at < 0 ? nullptr : &entries_[static_cast<size_t>(at)].second;
}

const Value* Dict::find_text(std::string_view key) const {
  if (!index_.empty()) return find(Value(key));
  for (const auto& [name, value] : entries_) {
    if (name.is_string() && name.string() == key) return &value;
  }
  return nullptr;
}

int64_t Dict::position(const Value& key) const {
  const size_t hashed = hash(key);
  if (!index_.empty()) {
    const auto [first, last] = index_.equal_range(hashed);
    for (auto candidate = first; candidate != last; ++candidate) {
      if (values_equal(entries_[candidate->second].first, key)) {
        return static_cast<int64_t>(candidate->second);
      }
    }
    return -1;
  }
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (values_equal(entries_[i].first, key)) return static_cast<int64_t>(i);
  }
  return -1;
}

void Dict::build_index() {
  for (size_t i = 0; i < entries_.size(); ++i) index_.emplace(hash(entries_[i].first), i);
}

}  // namespace ashlar::text::jinja
