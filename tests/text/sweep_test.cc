// Tokenizers drawn at random, beside what Hugging Face tokenizers made of them.
#include "tests/text/sweep.h"

#include "ashlar/base/file.h"
#include "tests/base/paths.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

namespace ashlar::text {
namespace {

TEST(Sweep, AgreesWithTheReference) {
  SweepResult result;
  for (const auto& golden : nlohmann::json::parse(read_file(test_data("tokenizers/sweep.json")))) {
    compare_with_reference(golden, result);
  }
  EXPECT_THAT(result.differences, testing::IsEmpty());
  EXPECT_GT(result.checked, 1000);
}

}  // namespace
}  // namespace ashlar::text
