// text_sweep_main FILE...: prints where tokenizers differ from the reference, for sweeps too large
// to keep (tests/oracles/tokenizer_sweep.py).
#include "tests/text/sweep.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <fstream>

int main(int argc, char** argv) {
  ashlar::text::SweepResult result;
  for (int i = 1; i < argc; ++i) {
    std::ifstream file(argv[i]);
    for (const auto& golden : nlohmann::json::parse(file)) {
      ashlar::text::compare_with_reference(golden, result);
    }
  }
  for (const std::string& difference : result.differences) fmt::print("{}\n", difference);
  fmt::print("{} compared, {} that the reference refuses, {} differences\n", result.checked,
             result.refused, result.differences.size());
  return result.differences.empty() ? 0 : 1;
}
