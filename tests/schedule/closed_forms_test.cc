// The bubbles and peaks that the methods' papers promise, on simulated time. p ranks, m
// microbatches; F, B, W are the times of one microbatch on the whole share of one rank.
#include "ashlar/schedule/check.h"
#include "ashlar/schedule/generators.h"
#include "ashlar/schedule/play.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace ashlar::schedule {
namespace {

using ::testing::ElementsAre;

constexpr double kExact = 1e-12;

Timeline timed(const Schedule& schedule, double forward, double input_grad, double weight_grad) {
  return play(
      schedule,
      uniform_costs(schedule, {.forward = forward, .backward = input_grad, .weight = weight_grad}));
}

std::vector<double> peaks(const Timeline& timeline) {
  std::vector<double> peaks;
  for (const RankTimeline& rank : timeline.ranks) peaks.push_back(rank.peak_microbatches);
  return peaks;
}

TEST(Gpipe, BubbleAndPeak) {  // PP1
  for (const int p : {1, 2, 3, 4, 8}) {
    for (const int m : {1, 2, 4, 7, 16}) {
      for (const double backward : {1., 2., 2.5}) {
        const Timeline t = timed(gpipe(p, m), 1, backward / 2, backward / 2);
        EXPECT_NEAR(t.bubble(), (p - 1.) / (m + p - 1), kExact) << p << " " << m;
        EXPECT_NEAR(t.makespan, (m + p - 1) * (1 + backward), 1e-9);
        EXPECT_THAT(peaks(t), ::testing::Each(m));
      }
    }
  }
}

TEST(OneFOneB, BubbleAndPeaks) {  // PP4, and F4's exact makespan
  for (const int p : {1, 2, 3, 4, 8}) {
    for (const int m : {1, 2, 4, 7, 16}) {
      for (const double backward : {1., 2., 2.5}) {
        const Timeline t = timed(one_f_one_b(p, m), 1, backward / 2, backward / 2);
        EXPECT_NEAR(t.bubble(), (p - 1.) / (m + p - 1), kExact) << p << " " << m;
        EXPECT_NEAR(t.makespan, (m + p - 1) * (1 + backward), 1e-9);
        for (int i = 0; i < p; ++i) {
          EXPECT_EQ(t.ranks[static_cast<size_t>(i)].peak_microbatches, std::min(p - i, m));
        }
      }
    }
  }
  const Timeline t = timed(one_f_one_b(4, 8), 1, 1, 1);
  EXPECT_NEAR(t.bubble(), 3. / 11, kExact);
  EXPECT_THAT(peaks(t), ElementsAre(4, 3, 2, 1));
}

TEST(Interleaved, BubbleAndPeak) {  // PP5
  for (const int p : {2, 3, 4, 8}) {
    for (const int v : {2, 3, 4}) {
      for (const int rounds : {1, 2, 3}) {
        const int m = p * rounds;
        const Timeline t = timed(interleaved(p, m, v), 1. / v, 1. / v, 1. / v);
        EXPECT_NEAR(t.bubble_over_ideal(), (p - 1.) / (v * m), kExact) << p << " " << m << " " << v;
        const double most = p + (p - 1.) / v;  // m microbatches are all there are
        EXPECT_NEAR(t.ranks[0].peak_microbatches, std::min<double>(most, m), kExact);
        EXPECT_EQ(t.peak_microbatches(), t.ranks[0].peak_microbatches);
      }
    }
  }
  const Timeline t = timed(interleaved(4, 8, 2), 0.5, 0.5, 0.5);
  EXPECT_NEAR(t.bubble_over_ideal(), 0.1875, kExact);
  EXPECT_EQ(t.ranks[0].peak_microbatches, 5.5);
}

TEST(Interleaved, SendsEachMicrobatchOncePerChunk) {
  const auto messages = [](const Schedule& schedule) {
    return timed(schedule, 1, 1, 1).transfers.size();
  };
  EXPECT_EQ(messages(one_f_one_b(4, 8)), 2u * 3 * 8);               // p - 1 borders
  EXPECT_EQ(messages(interleaved(4, 8, 2)), 2u * (2 * 4 - 1) * 8);  // v p - 1 borders
  EXPECT_EQ(messages(zb_v(4, 8)), 2u * (2 * 3) * 8);                // PP12: twice PP4's
}

TEST(Chimera, BubbleAndPeaks) {  // PP6
  for (const int p : {2, 4, 6, 8}) {
    const int m = p;
    const Schedule schedule = chimera(p, m);
    const Timeline equal = timed(schedule, 1, 0.5, 0.5), twice = timed(schedule, 1, 1, 1);
    EXPECT_NEAR(equal.bubble(), (p - 2.) / (2 * m + p - 2), kExact) << p;
    EXPECT_NEAR(twice.bubble(), (p - 2.) / (1.5 * m + p - 2), kExact) << p;
    for (const double peak : peaks(equal)) {
      EXPECT_GE(peak, p / 2 + 1);
      EXPECT_LE(peak, p);
    }
  }
  EXPECT_NEAR(timed(chimera(8, 8), 1, 0.5, 0.5).bubble(), 6. / 22, kExact);
  EXPECT_NEAR(timed(chimera(8, 8), 1, 1, 1).bubble(), 1. / 3, kExact);
}

TEST(Chimera, MoreMicrobatchesKeepTheBubbleAndTheMemory) {
  for (const int p : {2, 4, 6, 8}) {
    for (const int m : {2 * p, 3 * p}) {
      const Timeline t = timed(chimera(p, m), 1, 0.5, 0.5);
      EXPECT_NEAR(t.makespan, 2 * m + p - 2, kExact) << p << " " << m;
      EXPECT_LE(t.peak_microbatches(), p);
    }
  }
}

TEST(Chimera, HoldsEachStageTwice) {
  const Schedule schedule = chimera(4, 4);
  EXPECT_EQ(schedule.stages.replicas(), 2);
  for (int rank = 0; rank < 4; ++rank) {
    EXPECT_THAT(schedule.stages.chunks(rank), ElementsAre(Chunk{0, rank}, Chunk{1, 3 - rank}));
  }
}

TEST(Hanayo, BubbleFallsWithTheWaves) {  // PP7
  for (const int p : {2, 4, 8}) {
    for (const int m : {p, 2 * p}) {
      double before = timed(one_f_one_b(p, m), 1, 1, 1).bubble();
      for (const int waves : {1, 2, 4}) {
        const double chunk = 1. / (2 * waves);
        const Timeline t = timed(hanayo(p, m, waves), chunk, chunk, chunk);
        EXPECT_LT(t.bubble(), before) << p << " " << m << " " << waves;
        EXPECT_LE(t.peak_microbatches(), p);
        before = t.bubble();
      }
    }
  }
  // The row's values for p = m = 4.
  EXPECT_NEAR(timed(hanayo(4, 4, 1), 1, 1, 1).bubble(), 0.333, 5e-4);
  EXPECT_NEAR(timed(hanayo(4, 4, 2), 1, 1, 1).bubble(), 0.213, 5e-4);
  EXPECT_NEAR(timed(hanayo(4, 4, 4), 1, 1, 1).bubble(), 0.119, 5e-4);
  EXPECT_EQ(hanayo(4, 4, 2).stages.replicas(), 1);
}

struct Times {
  double f, b, w;
};

TEST(ZeroBubbleH, IdleTimeAndPeaks) {  // PP11
  for (const int p : {4, 8}) {
    for (const int m : {2 * p - 1, 2 * p, 3 * p}) {
      for (const auto& [f, b, w] : {Times{1, 1, 1}, Times{1, 1.5, 0.75}, Times{1, 1.25, 1}}) {
        const Timeline base = timed(one_f_one_b(p, m), f, b, w);
        const Timeline h1 = timed(zb_h1(p, m), f, b, w), h2 = timed(zb_h2(p, m), f, b, w);
        EXPECT_NEAR(base.idle(), (p - 1) * (f + b + w), 1e-9) << p << " " << m;
        EXPECT_NEAR(h1.idle(), (p - 1) * (f + b - w), 1e-9) << p << " " << m;
        EXPECT_NEAR(h2.idle(), std::max(0., (p - 1) * (f + b - 2 * w)), 1e-9) << p << " " << m;
        EXPECT_THAT(peaks(h1), ::testing::Each(p));
        EXPECT_THAT(peaks(h2), ::testing::Each(2 * p - 1));
      }
    }
  }
}

// PP12 with F = B = W = 1 on each half of a rank's share, so beta's idle time, that of 1F1B on
// whole shares, is 6 (p - 1).
TEST(ZeroBubbleV, NoIdleTimeAtTheMemoryOf1F1B) {
  for (const int p : {2, 3, 4, 5, 8}) {
    for (const int m : {2 * p - 1, 2 * p, 4 * p}) {
      const Timeline t = timed(zb_v(p, m), 1, 1, 1);
      EXPECT_NEAR(t.idle(), 0, kExact) << p << " " << m;
      EXPECT_THAT(peaks(t), ::testing::Each(p));
    }
  }
}

TEST(ZeroBubbleV, HalfIdlesHalfAsMuchAtHalfTheMemory) {
  for (int p = 2; p <= 12; ++p) {
    for (const int m : {2 * p, 4 * p}) {
      const Timeline t = timed(v_half(p, m), 1, 1, 1);
      EXPECT_LE(t.idle(), 6 * (p - 1) / 2.) << p << " " << m;
      EXPECT_GE(t.idle(), 0);
      EXPECT_LE(t.peak_microbatches(), p / 2. + 1.5) << p << " " << m;
    }
  }
}

TEST(ZeroBubbleV, MinIdlesTwoThirdsAtAThirdOfTheMemory) {
  for (int p = 2; p <= 12; ++p) {
    for (const int m : {2 * p, 4 * p}) {
      const Timeline t = timed(v_min(p, m), 1, 1, 1);
      EXPECT_LE(t.idle(), 6 * (p - 1) * 2 / 3.) << p << " " << m;
      EXPECT_LE(t.peak_microbatches(), (p + 4) / 3) << p << " " << m;  // whole microbatches
    }
  }
}

TEST(ZeroBubbleV, TheThreeTradeMemoryForTime) {
  for (const int p : {4, 8}) {
    const int m = 4 * p;
    const Timeline v = timed(zb_v(p, m), 1, 1, 1), half = timed(v_half(p, m), 1, 1, 1),
                   min = timed(v_min(p, m), 1, 1, 1), base = timed(one_f_one_b(p, m), 2, 2, 2);
    EXPECT_LT(v.idle(), half.idle());
    EXPECT_LT(half.idle(), min.idle());
    EXPECT_LT(min.idle(), base.idle());
    EXPECT_GT(v.peak_microbatches(), half.peak_microbatches());
    EXPECT_GT(half.peak_microbatches(), min.peak_microbatches());
    EXPECT_EQ(v.peak_microbatches(), base.peak_microbatches());
  }
}

}  // namespace
}  // namespace ashlar::schedule
