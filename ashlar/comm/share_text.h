// Texts between all ranks of a job: lists, paths. For what is said once, not every step.
#pragma once

#include "ashlar/comm/communicator.h"

#include <string>
#include <vector>

namespace ashlar::comm {

// Every rank's text, by rank, on every rank.
std::vector<std::string> gather_texts(Communicator& comm, const std::string& own,
                                      Communicator::Label label);
// Rank 0's text on every rank; what the others give is not looked at.
std::string share_text(Communicator& comm, const std::string& text, Communicator::Label label);

}  // namespace ashlar::comm
