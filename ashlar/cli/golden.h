// A model's own self-test: golden.json beside its weights holds what another implementation
// computed with them (docs/verify.md). Each section is run on its own and reported on its own.
#pragma once

#include "ashlar/cli/text_model.h"

#include <cstdint>
#include <string>
#include <vector>

namespace ashlar::cli {

struct SectionResult {
  enum class Status : uint8_t { kPassed, kFailed, kSkipped };
  std::string name;  // "tokenizer", "chat", "forward", "generate", "train"
  Status status = Status::kSkipped;
  int64_t checks = 0, failed = 0;
  std::string detail;  // the worst difference, the first failure, or why it was skipped
};

std::string_view name(SectionResult::Status status);

// All sections, in a fixed order, of a decoder or an encoder; those the file lacks are skipped.
// Throws Error where there is no golden.json or it is not understood.
std::vector<SectionResult> run_golden(bundle::Bundle opened, const ModelFlags& model,
                                      const MachineFlags& machine);

}  // namespace ashlar::cli
