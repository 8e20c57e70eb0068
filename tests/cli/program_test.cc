#include "tests/cli/program.h"

#include "ashlar/base/cpu.h"
#include "ashlar/base/version.h"

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
  EXPECT_THAT(complaint(ashlar({"trian"}), 2), HasSubstr("ashlar --help"));
  EXPECT_THAT(complaint(ashlar({"run", "--no-such-flag"}), 2), HasSubstr("ashlar run --help"));
  EXPECT_THAT(complaint(ashlar({"logits", "m"}), 2), HasSubstr("--ids is required"));
  EXPECT_EQ(ashlar({}).exit_code, 2);
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
      testing::run_program({"sh", "-c", "\"$0\" version > /dev/full", ASHLAR_BINARY});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("stdout: No space left on device"));
}

}  // namespace
}  // namespace ashlar::cli
