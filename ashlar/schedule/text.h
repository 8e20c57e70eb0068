// The text form of a schedule, which golden tests hold and users may write:
//
//   schedule zb-v           # a comment
//   microbatches 2
//   stages 0 1 1 0          # the rank of each stage; one such line a replica
//   rank 0: F0.0 F1.0 F0.1 B0.1 W0.1 ...
//
// F B W BW: microbatch, then .chunk where the rank has several. SA RA SG RG (send, receive, an
// activation or a gradient) end in >stage or <stage. evict and load: with a microbatch what it
// saved, without one the chunk's weights; gather, reduce: no microbatch; step: neither.
#pragma once

#include "ashlar/schedule/schedule.h"

#include <string>
#include <string_view>

namespace ashlar::schedule {

std::string str(const Schedule& schedule);
std::string str(const Instruction& instruction, bool with_chunk);
std::string str(const Schedule& schedule, int rank, const Instruction& instruction);

// str() of the result gives the same schedule. Errors begin "WHERE:LINE:COLUMN: ". Only what the
// text says is looked at: check() proves that it can run.
Schedule parse(std::string_view text, std::string_view where = "schedule");

// Where the text has a rank's instruction (or, past its last one, the rank's line): "LINE:COLUMN".
std::string place_of(std::string_view text, int rank, size_t instruction);

}  // namespace ashlar::schedule
