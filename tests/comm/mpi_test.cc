#include "ashlar/comm/mpi.h"

#include "tests/base/messages.h"
#include "tests/base/paths.h"
#include "tests/base/run_program.h"
#include "tests/comm/collective_cases.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace ashlar::comm {
namespace {

using ::ashlar::testing::error_of;
using ::ashlar::testing::ProgramResult;
using ::ashlar::testing::run_program;
using ::testing::HasSubstr;

class Mpi : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!built_with_mpi()) {
      EXPECT_THAT(error_of([] { run_mpi_rank([](Communicator&) {}); }),
                  HasSubstr("built without MPI: install libopenmpi-dev"));
      GTEST_SKIP() << "this build has no MPI";
    }
    try {
      run_program({"mpirun", "--version"});
    } catch (const Error&) {
      GTEST_SKIP() << "mpirun is not installed";
    }
  }

  // Open MPI leaks a little and unloads its libraries, so that a leak report could no longer name
  // them and be suppressed.
  static ProgramResult run(const std::string& mode) {
    return run_program({"mpirun", "-x", "ASAN_OPTIONS=detect_leaks=0", "-n", "4", "--oversubscribe",
                        "--bind-to", "none", "--allow-run-as-root", test_program("comm_mpi_main"),
                        mode});
  }
};

TEST_F(Mpi, CasesEqualTheSerialResult) {
  EXPECT_FALSE(launched_by_mpi());  // this test itself
  const ProgramResult result = run("cases");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto passed = std::ranges::count(result.out, '\n');
  EXPECT_EQ(static_cast<size_t>(passed), testing::collective_cases().size()) << result.out;
}

TEST_F(Mpi, ARankThatThrowsNamesItselfAndEndsTheJob) {
  const ProgramResult result = run("throw");
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("rank 2 on "));
  EXPECT_THAT(result.err, HasSubstr(": out of tokens\n"));
}

TEST_F(Mpi, ARankThatIsLateIsNamed) {
  const ProgramResult result = run("late");
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("all_reduce 'layers.0' on axis world waited 0.3 s for rank"));
  EXPECT_THAT(result.err, HasSubstr("rank 2 waits for nobody: it is lost"));
}

TEST_F(Mpi, ARankThatIsKilledEndsTheJob) {
  const ProgramResult result = run("die");
  EXPECT_FALSE(result.timed_out);
  EXPECT_NE(result.exit_code, 0);
}

}  // namespace
}  // namespace ashlar::comm
