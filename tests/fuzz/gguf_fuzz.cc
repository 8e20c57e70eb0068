#include "tests/fuzz/inputs.h"
#include "tests/fuzz/limited_run.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return ashlar::testing::run_limited(ashlar::testing::read_gguf, data, size);
}
