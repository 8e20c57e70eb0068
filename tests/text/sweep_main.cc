// text_sweep_main FILE...: prints where tokenizers differ from the reference, for sweeps too large
// to keep (tests/oracles/tokenizer_sweep.py).
#include "tests/text/sweep.h"

#include <nlohmann/json.hpp>

#include <fstream>

int main(int argc, char** argv) {
  ashlar::SweepResult result;
  for (int i = 1; i < argc; ++i) {
    std::ifstream file(argv[i]);
    for (const auto& golden : nlohmann::json::parse(file)) {
      ashlar::text::compare_with_reference(golden, result);
    }
  }
  return print(result);
}
