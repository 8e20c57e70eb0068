// Strings by their bytes, to find all of them that a text starts with in one walk. Nodes are
// numbered level by level, so that a node's children lie together and their bytes can be scanned.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace ashlar::text {

class ByteTrie {
 public:
  using Entry = std::pair<std::string_view, int32_t>;  // a string and its value, 0 or more
  explicit ByteTrie(std::vector<Entry> entries);

  // Calls found(length, value) for each entry that `text` starts with, shortest first; the empty
  // string is never found.
  template <typename Found>
  void each_prefix(std::string_view text, Found&& found) const {
    size_t node = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      node = child(node, text[i]);
      if (node == 0) return;
      if (nodes_[node].value >= 0) found(i + 1, nodes_[node].value);
    }
  }

  // Node 0 is the root, those of a level have smaller numbers than those below.
  size_t nodes() const { return bytes_.size(); }
  int32_t value(size_t node) const { return nodes_[node].value; }  // -1: no entry ends here
  // The one that `byte` leads to; 0: none.
  size_t child(size_t node, char byte) const {
    const size_t first = nodes_[node].first_child;
    const size_t children = nodes_[node + 1].first_child - first;
    if (children == 0) return 0;
    const auto* const bytes = bytes_.data() + first;
    const void* const match = std::memchr(bytes, static_cast<unsigned char>(byte), children);
    if (match == nullptr) return 0;
    return first + static_cast<size_t>(static_cast<const unsigned char*>(match) - bytes);
  }
  // Calls visit(child, byte) for each child of a node.
  template <typename Visit>
  void each_child(size_t node, Visit&& visit) const {
    for (size_t i = nodes_[node].first_child; i < nodes_[node + 1].first_child; ++i) {
      visit(i, static_cast<char>(bytes_[i]));
    }
  }

 private:
  struct Node {
    uint32_t first_child;
    int32_t value;  // -1: no entry ends here
  };
  std::vector<Node> nodes_;           // the root first; one more at the end closes the last
  std::vector<unsigned char> bytes_;  // by node: the byte that leads to it
};

}  // namespace ashlar::text
