// bundle_vocabularies_main FILE...: prints where tokenizers inside GGUF files differ from
// llama.cpp, for sweeps too large to keep (tests/oracles/gguf_vocabularies.py).
#include "tests/bundle/vocabulary_sweep.h"

#include <nlohmann/json.hpp>

#include <fstream>

int main(int argc, char** argv) {
  ashlar::SweepResult result;
  for (int i = 1; i < argc; ++i) {
    std::ifstream file(argv[i]);
    for (const auto& golden : nlohmann::json::parse(file)) {
      ashlar::testing::compare_with_llamacpp(golden, result);
    }
  }
  return print(result);
}
