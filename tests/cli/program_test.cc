#include "tests/cli/program.h"

#include "ashlar/base/cpu.h"
#include "ashlar/base/version.h"
#include "tests/base/paths.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ashlar::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(ProgramTest, VersionNamesVersionAndCompiler) {
  const Json json = ashlar_json({"version"});
  EXPECT_EQ(json["version"], version());
  EXPECT_THAT(json["compiler"].get<std::string>(), StartsWith("GCC "));
  EXPECT_THAT(ashlar({"version"}).out, StartsWith("ashlar " + std::string(version())));
}

TEST(ProgramTest, HelpGroupsVerbsAndDocumentsExitCodes) {
  const testing::ProgramResult help = ashlar({"--help"});
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_EQ(help.err, "");
  for (const char* text : {"Train:", "Use and serve:", "Look into a model:", "This machine:",
                           "0 done; 1 failed; 2 wrong command line or configuration; 130"}) {
    EXPECT_THAT(help.out, HasSubstr(text));
  }
}

TEST(ProgramTest, EveryVerbExplainsItself) {
  for (const char* verb : {"train", "tokenize", "eval", "report", "run", "chat", "serve", "inspect",
                           "logits", "verify", "bench", "doctor", "version"}) {
    const testing::ProgramResult help = ashlar({verb, "--help"});
    EXPECT_EQ(help.exit_code, 0) << verb;
    EXPECT_THAT(help.out, HasSubstr("Usage: ashlar " + std::string(verb))) << verb;
  }
}

TEST(ProgramTest, WrongCommandLinesExitWith2AndNameTheHelp) {
  EXPECT_EQ(complaint(ashlar({"trian"}), 2),
            "ashlar: unknown verb trian; did you mean train? (see ashlar --help)");
  EXPECT_THAT(complaint(ashlar({"run", "--no-such-flag"}), 2), HasSubstr("ashlar run --help"));
  EXPECT_THAT(complaint(ashlar({"logits", "m"}), 2), HasSubstr("--ids is required"));
  EXPECT_EQ(complaint(ashlar({"serve", "m", "--prot", "80"}), 2),
            "ashlar: unknown flag --prot; did you mean --port? (see ashlar serve --help)");
  EXPECT_EQ(complaint(ashlar({"bench", "train", "--steq=3"}), 2),
            "ashlar: unknown flag --steq; did you mean --seq? (see ashlar bench train --help)");
  EXPECT_EQ(ashlar({}).exit_code, 2);
}

TEST(ProgramTest, FlagsSayWhatTheyWant) {
  const auto says = [](const std::vector<std::string>& words) {
    const std::string line = complaint(ashlar(words), 2);
    return line.substr(0, line.find(" (see "));
  };
  EXPECT_EQ(says({"bench", "train", "--batch", "0"}),
            "ashlar: --batch: found 0, wanted a whole number above 0");
  EXPECT_EQ(says({"bench", "train", "--batch", "4.5"}),
            "ashlar: --batch: found 4.5, wanted a whole number above 0");
  EXPECT_EQ(says({"bench", "train", "--steps", "2"}),
            "ashlar: --steps: found 2, wanted a whole number from 3 to 1000000");
  EXPECT_EQ(says({"bench", "train", "--shape", "gpt5"}),
            "ashlar: --shape: found gpt5, wanted char-10m, gpt2-124m, llama-60m or mixtral-90m");
  EXPECT_EQ(says({"logits", "m", "--dtype", "f64"}),
            "ashlar: --dtype: found f64, wanted f32, bf16, f16, q8_0, q4_0, q4_k or q6_k");
  EXPECT_EQ(says({"run", "m", "--temperature", "-1"}),
            "ashlar: --temperature: found -1, wanted a number of at least 0");
  EXPECT_EQ(says({"run", "m", "--top-p", "nan"}),
            "ashlar: --top-p: found nan, wanted a number from 0 to 1");
  EXPECT_EQ(says({"chat", "m", "--repetition-penalty", "inf"}),
            "ashlar: --repetition-penalty: found inf, wanted a number above 0");
  EXPECT_EQ(says({"run", "m", "--seed", "-1"}),
            "ashlar: --seed: found -1, wanted a whole number from 0 to 2^64 - 1");
  EXPECT_EQ(says({"run", "m", "--threads", "many"}),
            "ashlar: --threads: found many, wanted a whole number from 1 to 1024");
}

TEST(ProgramTest, DoctorTellsWhichTiersRun) {
  const Json json = ashlar_json({"doctor"});
  EXPECT_EQ(json["isa"], name(best_isa_tier()));
  for (const IsaTier tier : all_isa_tiers()) {
    EXPECT_EQ(json["tiers"][std::string(name(tier))], can_run(tier)) << name(tier);
  }
  EXPECT_GT(json["memory_bytes"], json["memory_available_bytes"]);
  EXPECT_GE(json["cores"], 1);
  EXPECT_TRUE(json["missing"].is_array());
  EXPECT_TRUE(json["reserved_huge_pages"].is_number());
  const std::string text = ashlar({"doctor"}).out;
  for (const char* line : {"\nprocessor  ", "\ncores  ", "\nkernels  ", "\nmemory  ",
                           "\nhuge pages  ", "\ndisk  ", "\nMPI  ", "used by default"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

TEST(ProgramTest, DoctorNamesWhatIsMissingAndTheFix) {
  const testing::ProgramOptions without_mpi{.env = {{"PATH", "/nowhere"}}};
  const Json json = Json::parse(ashlar({"doctor", "--json"}, without_mpi).out);
  EXPECT_EQ(json["mpirun"], "");
  bool named = false;
  for (const Json& lack : json["missing"]) {
    named |= lack["what"].get<std::string>().starts_with("no mpirun: ") &&
             lack["fix"] == "apt-get install openmpi-bin";
  }
  EXPECT_TRUE(named) << json["missing"];
  EXPECT_THAT(ashlar({"doctor"}, without_mpi).out,
              HasSubstr("- no mpirun: no job can span several processes or machines\n"
                        "  fix: apt-get install openmpi-bin"));
}

TEST(ProgramTest, ATierThatIsNotThereIsRefused) {
  const std::string model = fixture_model("llama");
  EXPECT_THAT(complaint(ashlar({"logits", model, "--ids", "1", "--isa", "sse9"}), 2),
              HasSubstr("--isa sse9: no such tier; this machine can run scalar"));
  EXPECT_THAT(
      complaint(ashlar({"logits", model, "--ids", "1"}, {.env = {{"ASHLAR_ISA", "sse9"}}}), 2),
      HasSubstr("no such tier"));
  EXPECT_THAT(
      complaint(ashlar({"logits", model, "--ids", "1"}, {.env = {{"ASHLAR_THREADS", "no"}}}), 2),
      HasSubstr("ASHLAR_THREADS: 'no' is not a number of threads"));
}

TEST(ProgramTest, AResultThatCannotBeWrittenIsAFailure) {
  const testing::ProgramResult result =
      testing::run_program({"sh", "-c", "\"$0\" version > /dev/full", ashlar_binary()});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("stdout: No space left on device"));
}

}  // namespace
}  // namespace ashlar::cli
