#include "tests/base/run_program.h"

#include "tests/base/messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <signal.h>

namespace ashlar::testing {
namespace {

TEST(RunProgramTest, StreamsAndExitCode) {
  const ProgramResult result = run_program({"sh", "-c", "cat; echo to stderr >&2; exit 3"},
                                           {.stdin_text = std::string(200000, 'x')});
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_EQ(result.signal, 0);
  EXPECT_EQ(result.out, std::string(200000, 'x'));
  EXPECT_EQ(result.err, "to stderr\n");
}

TEST(RunProgramTest, FolderAndEnvironment) {
  const ProgramResult result =
      run_program({"sh", "-c", "pwd; echo \"$ASHLAR_T[$HOME]\""},
                  {.env = {{"ASHLAR_T", "a b"}, {"HOME", ""}}, .folder = "/"});
  EXPECT_EQ(result.out, "/\na b[]\n");
}

TEST(RunProgramTest, SignalsAndTimeouts) {
  EXPECT_EQ(run_program({"sh", "-c", "kill -TERM $$"}).signal, SIGTERM);
  const ProgramResult late = run_program({"sleep", "60"}, {.timeout_s = 0.05});
  EXPECT_TRUE(late.timed_out);
  EXPECT_EQ(late.signal, SIGKILL);
}

TEST(RunProgramTest, WhatCannotStart) {
  EXPECT_EQ(error_of([] { run_program({"/no/such/program"}); }),
            "cannot start /no/such/program: No such file or directory");
}

}  // namespace
}  // namespace ashlar::testing
