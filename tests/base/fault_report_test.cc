#include "ashlar/base/fault_report.h"

#include <gtest/gtest.h>

#include <csignal>
#include <thread>

namespace ashlar {
namespace {

TEST(FaultReportDeathTest, NamesWhoAndWhat) {
  const auto die = [](int signal) {
    report_faults("rank 2 on node7");
    mark_work("layers.1.attn.q", 1, 37);
    ::raise(signal);
  };
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) {
    EXPECT_EXIT(die(signal), ::testing::KilledBySignal(signal),
                "ashlar: rank 2 on node7: ended by SIG[A-Z]+ in op layers.1.attn.q .layer 1., step "
                "37; --resume goes on from the newest checkpoint");
  }
}

TEST(FaultReportDeathTest, AThreadOfAPoolNamesWhatItWorksFor) {
  const auto die = [] {
    report_faults("");
    mark_work("head", -1, 4);
    std::thread([] { ::raise(SIGSEGV); }).join();
  };
  EXPECT_EXIT(die(), ::testing::KilledBySignal(SIGSEGV),
              "ashlar: ended by SIGSEGV in op head, step 4;");
}

TEST(FaultReportDeathTest, NothingMarkedNothingNamed) {
  const auto die = [] {
    report_faults("rank 0 on a");
    mark_work("x", 0, 1);
    mark_work(nullptr, -1, 0);
    ::raise(SIGABRT);
  };
  EXPECT_EXIT(die(), ::testing::KilledBySignal(SIGABRT), "rank 0 on a: ended by SIGABRT; --resume");
}

}  // namespace
}  // namespace ashlar
