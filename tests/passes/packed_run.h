// Runs graphs with packed weights, for tests of passes that must keep every bit.
#pragma once

#include "ashlar/base/isa_tier.h"
#include "ashlar/graph/graph.h"

#include <map>
#include <string>
#include <vector>

namespace ashlar::passes {

// Every output of `graph` by name, for an input "x" of [tokens, width]. Parameters and x have
// values that go by their names alone.
std::map<std::string, std::vector<float>> run_packed(const graph::Graph& graph, IsaTier tier,
                                                     int64_t tokens, int64_t width);

}  // namespace ashlar::passes
