// A process that stands for mpirun: with ranks that have ended, or that live on.
#include "ashlar/cli/mpirun_watch.h"

#include <gtest/gtest.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

namespace ashlar::cli {
namespace {

using namespace std::chrono_literals;

// How a watched process ends that does `work`.
int status_of(const std::function<void()>& work) {
  const pid_t job = ::fork();
  if (job == 0) {
    watch_mpirun(600ms);
    work();
    ::_exit(7);
  }
  int status = 0;
  ::waitpid(job, &status, 0);
  return status;
}

pid_t start_rank(int seconds) {
  const pid_t rank = ::fork();
  if (rank == 0) {
    ::sleep(static_cast<unsigned>(seconds));
    ::_exit(0);
  }
  return rank;
}

TEST(MpirunWatch, EndsAJobWhoseRanksHaveAllEnded) {
  const int status = status_of([] {
    start_rank(0);
    ::sleep(60);
  });
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
}

TEST(MpirunWatch, LeavesAJobAloneWhileARankLives) {
  const int status = status_of([] {
    start_rank(0);
    const pid_t living = start_rank(3);
    ::waitpid(living, nullptr, 0);
  });
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 7) << status;
}

TEST(MpirunWatch, WaitsForRanksToStart) {
  const int status = status_of([] { ::sleep(2); });
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 7) << status;
}

TEST(MpirunWatch, TellsLivingChildrenFromEndedOnes) {
  const pid_t living = start_rank(60), ended = start_rank(0);
  siginfo_t info;
  ::waitid(P_PID, static_cast<id_t>(ended), &info, WEXITED | WNOWAIT);
  const Children children = children_of(::getpid());
  EXPECT_EQ(children.living, 1);
  EXPECT_EQ(children.ended, 1);
  ::kill(living, SIGKILL);
  for (const pid_t child : {living, ended}) ::waitpid(child, nullptr, 0);
  EXPECT_EQ(children_of(::getpid()).living + children_of(::getpid()).ended, 0);
}

}  // namespace
}  // namespace ashlar::cli
