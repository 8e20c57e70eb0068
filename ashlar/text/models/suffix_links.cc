#include "ashlar/text/models/suffix_links.h"

namespace ashlar::text {

SuffixLinks::SuffixLinks(const ByteTrie& trie) : links_(trie.nodes()) {
  for (size_t node = 0; node < trie.nodes(); ++node) {
    trie.each_child(node, [&](size_t child, char byte) {
      Links& links = links_[child];
      links.length = links_[node].length + 1;
      links.value = trie.value(child);
      if (node == 0) return;
      // Levels above are done.
      const size_t suffix = next(trie, links_[node].suffix, byte);
      links.suffix = static_cast<uint32_t>(suffix);
      links.entry = trie.value(suffix) >= 0 ? links.suffix : links_[suffix].entry;
    });
  }
}

}  // namespace ashlar::text
