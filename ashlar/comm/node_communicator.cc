#include "ashlar/comm/node_communicator.h"

#include <algorithm>
#include <map>
#include <utility>

namespace ashlar::comm {

std::optional<NodeGroups> across_nodes(const Group& group, int node_ranks) {
  if (node_ranks <= 0) return std::nullopt;
  std::map<int, std::vector<int>> nodes;
  for (const int rank : group.ranks) nodes[rank / node_ranks].push_back(rank);
  const int me = group.ranks[static_cast<size_t>(group.index)];
  const std::vector<int>& mine = nodes.at(me / node_ranks);
  const bool alike = std::ranges::all_of(
      nodes, [&](const auto& node) { return node.second.size() == mine.size(); });
  if (!alike || nodes.size() == 1 || mine.size() == 1) return std::nullopt;
  const auto place = static_cast<size_t>(std::ranges::find(mine, me) - mine.begin());
  NodeGroups groups{{group.name + " in a node", mine, static_cast<int>(place)},
                    {group.name, {}, 0}};
  for (const auto& [node, ranks] : nodes) {
    if (node == me / node_ranks) groups.outer.index = groups.outer.size();
    groups.outer.ranks.push_back(ranks[place]);
  }
  return groups;
}

Pending NodeCommunicator::start_all_reduce(const Group& group, Reduce reduce, Buffer data,
                                           Label label) {
  const std::optional<NodeGroups> groups = across_nodes(group, node_ranks_);
  if (!groups) return of_.start_all_reduce(group, reduce, data, label);
  return of_.start_hierarchical_all_reduce(groups->inner, groups->outer, reduce, data, label);
}

}  // namespace ashlar::comm
