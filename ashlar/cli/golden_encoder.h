// The self-test of an encoder (golden.h): its tokenizer, and the vectors of the section "forward".
#pragma once

#include "ashlar/cli/golden.h"

namespace ashlar::cli {

std::vector<SectionResult> run_encoder_golden(const ModelFlags& model, const MachineFlags& machine);

}  // namespace ashlar::cli
