// bundle_vocabularies_main FILE...: prints where tokenizers inside GGUF files differ from
// llama.cpp, for sweeps too large to keep (tests/oracles/gguf_vocabularies.py).
#include "tests/bundle/vocabulary_sweep.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <fstream>

int main(int argc, char** argv) {
  ashlar::testing::VocabularySweep result;
  for (int i = 1; i < argc; ++i) {
    std::ifstream file(argv[i]);
    for (const auto& golden : nlohmann::json::parse(file)) {
      ashlar::testing::compare_with_llamacpp(golden, result);
    }
  }
  for (const std::string& difference : result.differences) fmt::print("{}\n", difference);
  fmt::print("{} compared, {} differences\n", result.checked, result.differences.size());
  return result.differences.empty() ? 0 : 1;
}
