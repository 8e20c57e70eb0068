// How a training run is described on the command line, to the verbs that take such a description: a
// config.toml at most, then key=value over it; the environment's ASHLAR_* lie between.
#pragma once

#include "ashlar/base/config.h"

#include <string>
#include <vector>

namespace ashlar::cli {

// Throws UsageError where there is no setting at all, or a word that is none.
void load_settings(const std::string& verb, const std::vector<std::string>& words,
                   ConfigTable& table);

}  // namespace ashlar::cli
