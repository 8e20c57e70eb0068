#include "ashlar/text/models/byte_trie.h"

#include <algorithm>

namespace ashlar::text {

ByteTrie::ByteTrie(std::vector<Entry> entries) {
  std::sort(entries.begin(), entries.end());
  // Of each node, the entries below it: those that share its bytes, `depth` of them.
  struct Range {
    size_t begin, end, depth;
  };
  std::vector<Range> level = {{0, entries.size(), 0}}, next;
  nodes_.push_back({0, -1});
  bytes_.push_back(0);
  while (!level.empty()) {
    size_t node = nodes_.size() - level.size();
    next.clear();
    for (const Range& range : level) {
      nodes_[node].first_child = static_cast<uint32_t>(nodes_.size());
      size_t at = range.begin;
      // Entries that end here come first; of equal ones the last counts.
      for (; at < range.end && entries[at].first.size() == range.depth; ++at) {
        nodes_[node].value = entries[at].second;
      }
      while (at < range.end) {
        const size_t begin = at;
        const char byte = entries[at].first[range.depth];
        while (at < range.end && entries[at].first[range.depth] == byte) ++at;
        nodes_.push_back({0, -1});
        bytes_.push_back(static_cast<unsigned char>(byte));
        next.push_back({begin, at, range.depth + 1});
      }
      ++node;
    }
    level.swap(next);
  }
  nodes_.push_back({static_cast<uint32_t>(nodes_.size()), -1});
}

}  // namespace ashlar::text
