// What a run will hold in memory, part by part, known before its first step: Variables by kind, the
// arenas of its graphs, the copy that a save works on, the loader's batches. What the process had
// resident at most is compared with it at the end. Mapped token shards are not in it: the system
// takes their pages back when it needs them.
#pragma once

#include "ashlar/graph/graph.h"
#include "ashlar/runtime/variable_store.h"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ashlar::train {

class MemoryPlan {
 public:
  // The store's Variables under the names of their kinds. `graph` names those that train; what
  // only other graphs read counts as constants.
  void add_variables(const graph::Graph& graph, const runtime::VariableStore& store);
  // The same before there is a store: those that `graph` needs, then those that `others` do.
  void plan_variables(const graph::Graph& graph, const std::vector<const graph::Graph*>& others);
  void add(const std::string& part, int64_t bytes);  // to those of that name; nothing for 0 bytes

  const std::vector<std::pair<std::string, int64_t>>& parts() const { return parts_; }
  int64_t total() const;
  int64_t bytes(std::string_view part) const;  // 0: there is none
  // A device of `cap` bytes takes part by part; throws UsageError where they are too many. who:
  // "rank 0". 0: no cap.
  void check(int64_t cap, std::string_view who) const;
  std::string text() const;  // `parameters="78.0 MB" gradients="78.0 MB" ...`

 private:
  void add_by_kind(const graph::Graph& graph, const std::map<std::string, int64_t>& bytes);

  std::vector<std::pair<std::string, int64_t>> parts_;
};

}  // namespace ashlar::train
