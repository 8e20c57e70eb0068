// For each node of a ByteTrie the longest of its proper suffixes that is a node too (Aho and
// Corasick 1975): all entries that end anywhere in a text are found in one pass over it, however
// long entries are. A walk from each place takes time as the longest entry.
#pragma once

#include "ashlar/text/models/byte_trie.h"

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace ashlar::text {

class SuffixLinks {
 public:
  explicit SuffixLinks(const ByteTrie& trie);

  // Behind each byte of the text: found(length, value) for each entry that ends there, longest
  // first, then ended(end), `end` being how many bytes there were. The trie is that of the
  // constructor.
  template <typename Found, typename Ended>
  void each_end(const ByteTrie& trie, std::string_view text, Found&& found, Ended&& ended) const {
    size_t node = 0;
    for (size_t end = 1; end <= text.size(); ++end) {
      node = next(trie, node, text[end - 1]);
      for (size_t at = links_[node].value >= 0 ? node : links_[node].entry; at > 0;) {
        const Links& links = links_[at];
        at = links.entry;
        found(static_cast<size_t>(links.length), links.value);
      }
      ended(end);
    }
  }

 private:
  // The root stands for no string and for no link.
  struct Links {
    uint32_t suffix = 0;  // the longest one
    uint32_t entry = 0;   // the longest one that is an entry
    uint32_t length = 0;  // of the node's string
    int32_t value = -1;   // the trie's
  };
  size_t next(const ByteTrie& trie, size_t node, char byte) const {
    for (;; node = links_[node].suffix) {
      const size_t child = trie.child(node, byte);
      if (child > 0 || node == 0) return child;
    }
  }

  std::vector<Links> links_;  // by node
};

}  // namespace ashlar::text
