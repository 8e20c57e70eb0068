// Every file of the fuzzers' corpora, their findings among them, in an ordinary build too.
#include "ashlar/base/file.h"
#include "tests/base/paths.h"
#include "tests/fuzz/inputs.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

namespace ashlar::testing {
namespace {

struct Fuzzed {
  const char* name;
  void (*read)(std::string_view bytes);
};

class Corpus : public ::testing::TestWithParam<Fuzzed> {};

// Anything but an Error, which each reader expects, fails here.
TEST_P(Corpus, IsReadOrRefused) {
  const std::filesystem::path folder =
      std::filesystem::path(test_data()).parent_path() / "fuzz/corpus" / GetParam().name;
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string path = entry.path().string();
    EXPECT_NO_THROW(GetParam().read(read_file(path))) << path;
    ++files;
  }
  EXPECT_GT(files, 4) << folder;
}

INSTANTIATE_TEST_SUITE_P(All, Corpus,
                         ::testing::Values(Fuzzed{"safetensors", read_safetensors},
                                           Fuzzed{"gguf", read_gguf},
                                           Fuzzed{"tokenizer", read_tokenizer},
                                           Fuzzed{"config", read_config},
                                           Fuzzed{"template", read_template}),
                         [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace ashlar::testing
