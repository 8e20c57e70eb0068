#include "ashlar/generate/stop_strings.h"

#include <algorithm>
#include <utility>

namespace ashlar::generate {

StopStrings::StopStrings(std::vector<std::string> stops) : stops_(std::move(stops)) {
  std::erase_if(stops_, [](const std::string& stop) { return stop.empty(); });
}

std::string StopStrings::push(std::string_view piece) {
  if (found_) return {};
  const size_t known = held_.size();
  held_ += piece;
  for (size_t end = known + 1; end <= held_.size(); ++end) {
    const size_t length = length_ending_at(end);
    if (length == 0) continue;
    found_ = true;
    held_.resize(end - length);
    return std::exchange(held_, {});
  }
  const size_t open = open_length();
  std::string certain = held_.substr(0, held_.size() - open);
  held_.erase(0, held_.size() - open);
  return certain;
}

std::string StopStrings::finish() { return std::exchange(held_, {}); }

// Length of the longest stop string that ends there; 0: none.
size_t StopStrings::length_ending_at(size_t end) const {
  const std::string_view text = std::string_view(held_).substr(0, end);
  size_t longest = 0;
  for (const std::string& stop : stops_) {
    if (text.ends_with(stop)) longest = std::max(longest, stop.size());
  }
  return longest;
}

// Length of the longest end of the text that begins a stop string.
size_t StopStrings::open_length() const {
  const std::string_view text = held_;
  size_t longest = 0;
  for (const std::string& stop : stops_) {
    const size_t most = std::min(text.size(), stop.size() - 1);
    for (size_t length = most; length > longest; --length) {
      if (text.ends_with(std::string_view(stop).substr(0, length))) longest = length;
    }
  }
  return longest;
}

}  // namespace ashlar::generate
