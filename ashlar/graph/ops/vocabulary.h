// One rank's rows of a table that a mesh cuts by rows: the vocabulary of an embedding or a head.
#pragma once

#include "ashlar/graph/sharding.h"

#include <optional>
#include <string>

namespace ashlar::graph {

struct VocabularySlice {
  comm::Group group;  // the ranks that share the table
  std::string label;
  Slice rows;           // this rank's
  int64_t largest = 0;  // the most rows that a rank of the group has
};

// Of input `table`, [V,C]; nothing where no axis cuts its rows.
std::optional<VocabularySlice> vocabulary_slice(const LocalSite& site, int table);

}  // namespace ashlar::graph
