#include "ashlar/train/state_layout.h"

#include "ashlar/base/error.h"
#include "ashlar/comm/share_text.h"
#include "ashlar/runtime/stored_variables.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>
#include <set>

namespace ashlar::train {
namespace {

using graph::Variable;
using graph::VariableKind;
using Json = nlohmann::json;

bool is_state(const Variable& variable) {
  return variable.kind == VariableKind::kParameter || variable.kind == VariableKind::kOptimizer;
}

// One rank's list, on its way to the others.
template <typename IsStored>
std::string list_of(const RankGraphs& graphs, const IsStored& is_stored) {
  Json list = Json::array();
  std::set<std::string> listed;  // chunks may share a Variable
  for (const graph::Graph* graph : graphs) {
    for (const Variable& variable : graph->variables()) {
      if (!is_state(variable) || !is_stored(variable)) continue;
      if (variable.shape.elements() == 0 || !listed.insert(variable.name).second) continue;
      const bool whole = variable.part.empty();
      const auto dims = (whole ? variable.shape : variable.whole).dims();
      Json part = Json::array();
      for (const Slice& slice : whole ? whole_part(dims) : variable.part) {
        part.push_back({slice.offset, slice.length});
      }
      list.push_back({variable.name, variable.kind == VariableKind::kParameter,
                      static_cast<int>(variable.dtype), std::vector(dims.begin(), dims.end()),
                      part});
    }
  }
  return list.dump();
}

void add(StateVariable& variable, const Part& part, int rank) {
  for (HeldPart& held : variable.parts) {
    if (held.part == part) {
      held.ranks.push_back(rank);
      return;
    }
    ASHLAR_CHECK(!overlap(held.part, part),
                 "checkpoint: variable '{}' {}: rank {} holds {} and rank {} {}, which overlap "
                 "without being equal",
                 variable.name, variable.whole.str(), held.ranks.front(), str(held.part), rank,
                 str(part));
  }
  variable.parts.push_back({part, {rank}});
}

// The list of one rank, added to what is known of the ranks before.
void add_rank(StateLayout& layout, std::map<std::string, size_t>& places, int rank,
              const std::string& list) {
  for (const Json& entry : Json::parse(list)) {
    const auto dims = entry.at(3).get<std::vector<int64_t>>();
    const StateVariable found{
        .name = entry.at(0),
        .kind = entry.at(1) ? VariableKind::kParameter : VariableKind::kOptimizer,
        .dtype = static_cast<DType>(entry.at(2).get<int>()),
        .whole = Shape(dims),
        .parts = {}};
    const auto [place, is_new] = places.try_emplace(found.name, layout.variables.size());
    if (is_new) layout.variables.push_back(found);
    StateVariable& variable = layout.variables[place->second];
    ASHLAR_CHECK(found.whole == variable.whole && found.dtype == variable.dtype,
                 "checkpoint: variable '{}' is {}{} on rank {}, {}{} on ranks before", found.name,
                 name(found.dtype), found.whole.str(), rank, name(variable.dtype),
                 variable.whole.str());
    Part part;
    for (const Json& slice : entry.at(4)) part.push_back({slice.at(0), slice.at(1)});
    add(variable, part, rank);
  }
}

void check_covered(const StateVariable& variable) {
  int64_t covered = 0;
  for (const HeldPart& held : variable.parts) covered += elements(held.part);
  ASHLAR_CHECK(covered == variable.whole.elements(),
               "checkpoint: variable '{}' {}: the ranks hold {} of its {} elements", variable.name,
               variable.whole.str(), covered, variable.whole.elements());
}

StateLayout layout_of(const std::vector<std::string>& lists) {
  StateLayout layout{.ranks = static_cast<int>(lists.size()), .variables = {}};
  std::map<std::string, size_t> places;
  for (size_t rank = 0; rank < lists.size(); ++rank) {
    add_rank(layout, places, static_cast<int>(rank), lists[rank]);
  }
  for (const StateVariable& variable : layout.variables) check_covered(variable);
  return layout;
}

}  // namespace

const StateVariable& StateLayout::find(const std::string& name) const {
  const auto found = std::ranges::find(variables, name, &StateVariable::name);
  ASHLAR_CHECK(found != variables.end(), "checkpoint: no rank holds a variable '{}'", name);
  return *found;
}

StateLayout state_layout(const RankGraphs& graphs, const runtime::VariableStore& store,
                         comm::Communicator* comm) {
  const std::string own =
      list_of(graphs, [&store](const Variable& variable) { return store.contains(variable.name); });
  const std::vector<std::string> lists =
      comm != nullptr ? comm::gather_texts(*comm, own, "checkpoint") : std::vector{own};
  return layout_of(lists);
}

StateLayout state_layout(const std::vector<RankGraphs>& ranks) {
  std::vector<std::string> lists;
  for (const RankGraphs& graphs : ranks) {
    std::set<std::string> stored;
    for (const graph::Graph* graph : graphs) {
      for (const graph::VariableId id : runtime::stored_variables(*graph)) {
        stored.insert(graph->variable(id).name);
      }
    }
    lists.push_back(list_of(
        graphs, [&stored](const Variable& variable) { return stored.contains(variable.name); }));
  }
  return layout_of(lists);
}

}  // namespace ashlar::train
