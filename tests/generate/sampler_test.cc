// What each parameter does to the choice of a token.
#include "ashlar/generate/sampler.h"

#include "ashlar/base/error.h"
#include "tests/base/messages.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <random>

namespace ashlar::generate {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// How often each token comes up in `draws` draws.
std::map<int32_t, int> histogram(const std::vector<float>& logits, const SamplingParams& params,
                                 int draws, const TokenHistory* history = nullptr) {
  Sampler sampler(static_cast<int64_t>(logits.size()));
  std::map<int32_t, int> counts;
  for (int i = 0; i < draws; ++i) {
    ++counts[sampler.sample(logits, params, history, static_cast<uint64_t>(i))];
  }
  return counts;
}

std::vector<int32_t> kept(const std::vector<float>& logits, const SamplingParams& params) {
  std::vector<int32_t> ids;
  for (const auto& [id, count] : histogram(logits, params, 20000)) ids.push_back(id);
  return ids;
}

std::vector<float> logs(const std::vector<double>& shares) {
  std::vector<float> logits;
  for (const double share : shares) logits.push_back(static_cast<float>(std::log(share)));
  return logits;
}

TEST(Sampler, GreedyTakesTheLargestAndTheLowestIdOfEquals) {
  Sampler sampler(5);
  SamplingParams greedy;
  greedy.temperature = 0;
  EXPECT_EQ(sampler.sample(std::vector<float>{1, 3, 2, 3, -1}, greedy, nullptr, 0), 1);
  EXPECT_EQ(
      sampler.sample(std::vector<float>{-kInfinity, -5, -kInfinity, -4, -4}, greedy, nullptr, 0),
      3);
}

TEST(Sampler, DrawsInProportion) {
  const std::vector<double> shares = {0.5, 0.25, 0.15, 0.1};
  const auto counts = histogram(logs(shares), {}, 40000);
  double chi_square = 0;
  for (size_t i = 0; i < shares.size(); ++i) {
    const double wanted = shares[i] * 40000;
    const double off = counts.at(static_cast<int32_t>(i)) - wanted;
    chi_square += off * off / wanted;
  }
  EXPECT_LT(chi_square, 16.27);  // 3 degrees of freedom, p = 0.001
}

TEST(Sampler, TemperatureSharpensAndFlattens) {
  const std::vector<float> logits = logs({0.8, 0.2});
  SamplingParams params;
  params.temperature = 0.5;  // odds are squared: 16 to 1
  EXPECT_NEAR(histogram(logits, params, 20000).at(0) / 20000.0, 16.0 / 17, 0.01);
  params.temperature = 2;  // odds 2 to 1
  EXPECT_NEAR(histogram(logits, params, 20000).at(0) / 20000.0, 2.0 / 3, 0.01);
  params.temperature = 1e-9;
  EXPECT_EQ(histogram(logits, params, 100).at(0), 100);
}

TEST(Sampler, TopKKeepsTheLargestLowestIdsFirst) {
  SamplingParams params;
  params.top_k = 2;
  EXPECT_EQ(kept({1, 3, 2, 2, 0}, params), (std::vector<int32_t>{1, 2}));
  params.top_k = 9;
  EXPECT_EQ(kept({1, 1, 1}, params), (std::vector<int32_t>{0, 1, 2}));
}

TEST(Sampler, TopPKeepsTheShortestRowWithTheShare) {
  const std::vector<float> logits = logs({0.1, 0.4, 0.3, 0.2});
  SamplingParams params;
  for (const auto& [p, wanted] :
       std::vector<std::pair<double, std::vector<int32_t>>>{{0, {1}},
                                                            {0.39, {1}},
                                                            {0.41, {1, 2}},
                                                            {0.69, {1, 2}},
                                                            {0.8, {1, 2, 3}},
                                                            {0.95, {0, 1, 2, 3}},
                                                            {1, {0, 1, 2, 3}}}) {
    params.top_p = p;
    EXPECT_EQ(kept(logits, params), wanted) << "top_p " << p;
  }
}

TEST(Sampler, TopPAppliesToWhatTopKLeft) {
  SamplingParams params;
  params.top_k = 2;
  params.top_p = 0.6;  // of 0.4 + 0.3, the first has 0.57
  EXPECT_EQ(kept(logs({0.1, 0.4, 0.3, 0.2}), params), (std::vector<int32_t>{1, 2}));
  params.top_p = 0.57;
  EXPECT_EQ(kept(logs({0.1, 0.4, 0.3, 0.2}), params), (std::vector<int32_t>{1}));
}

TEST(Sampler, MinPIsRelativeToTheMostLikely) {
  SamplingParams params;
  params.min_p = 0.5;
  EXPECT_EQ(kept(logs({0.1, 0.41, 0.29, 0.2}), params), (std::vector<int32_t>{1, 2}));
  params.min_p = 1;
  EXPECT_EQ(kept(logs({0.1, 0.41, 0.29, 0.2}), params), (std::vector<int32_t>{1}));
}

TEST(Sampler, ADrawDependsOnSeedStreamAndIndexAlone) {
  std::mt19937 random(1);
  std::vector<float> logits(1000);
  for (float& logit : logits) logit = static_cast<float>(random() % 1000) / 200;
  SamplingParams params;
  params.seed = 42;
  Sampler one(1000), other(1000);
  std::vector<int32_t> first, again, stream, seed;
  for (uint64_t i = 0; i < 50; ++i) first.push_back(one.sample(logits, params, nullptr, i));
  for (uint64_t i = 50; i-- > 0;) again.push_back(other.sample(logits, params, nullptr, i));
  std::ranges::reverse(again);
  EXPECT_EQ(first, again) << "not on what was drawn before";
  params.stream = 1;
  for (uint64_t i = 0; i < 50; ++i) stream.push_back(one.sample(logits, params, nullptr, i));
  EXPECT_NE(first, stream);
  params.stream = 0;
  params.seed = 43;
  for (uint64_t i = 0; i < 50; ++i) seed.push_back(one.sample(logits, params, nullptr, i));
  EXPECT_NE(first, seed);
}

TEST(Sampler, PenaltiesCountWhatWasSaid) {
  TokenHistory history;
  history.add_prompt(std::vector<int32_t>{0, 1});
  history.add_generated(1);
  history.add_generated(2);
  history.add_generated(2);
  SamplingParams params;
  params.temperature = 0;
  Sampler sampler(4);
  const auto choose = [&](std::vector<float> logits) {
    return sampler.sample(logits, params, &history, 3);
  };
  params.presence_penalty = 1;  // tokens 1 and 2 lose 1; the prompt's 0 does not
  EXPECT_EQ(choose({0, 0.9f, 0.9f, -1}), 0);
  EXPECT_EQ(choose({0, 1.1f, 0, -1}), 1);
  params.presence_penalty = 0;
  params.frequency_penalty = 1;  // 1 loses 1, 2 loses 2
  EXPECT_EQ(choose({0, 1.1f, 1.9f, -1}), 1);
  EXPECT_EQ(choose({0, 1.1f, 3.2f, -1}), 2);
  params.frequency_penalty = 0;
  params.repetition_penalty = 2;  // 0, 1, 2: positive logits halve, negative ones double
  EXPECT_EQ(choose({1.9f, 1.9f, 1.9f, 1}), 3);
  EXPECT_EQ(choose({-1, -1, -1, -1.9f}), 3);
  EXPECT_EQ(choose({-1, -1, -1, -2.1f}), 0);
}

TEST(Sampler, LogitBiasMovesTokens) {
  Sampler sampler(3);
  SamplingParams params;
  params.temperature = 0;
  params.logit_bias = {{2, 5.0}, {1, -100.0}};
  EXPECT_EQ(sampler.sample(std::vector<float>{4, 100, 0}, params, nullptr, 0), 2);
}

TEST(Sampler, RefusesLogitsThatAreNoNumbers) {
  using testing::error_of;
  Sampler sampler(3);
  const auto choose = [&](std::vector<float> logits) {
    return error_of([&] { sampler.sample(logits, {}, nullptr, 0); });
  };
  EXPECT_EQ(choose({0, kNan, 0}), "sampling: the logit of token 1 is NaN");
  EXPECT_EQ(choose({0, 0, kInfinity}), "sampling: the largest logit is inf, of token 2");
  EXPECT_EQ(choose({-kInfinity, -kInfinity, -kInfinity}),
            "sampling: the largest logit is -inf, of token 0");
  EXPECT_EQ(choose({-kInfinity, 0, -kInfinity}), "(no error)");
}

TEST(Sampler, ScoresAreLogSoftmaxOfWhatTheModelSaid) {
  Sampler sampler(4);
  const ScoredToken scored = sampler.score(logs({0.1, 0.4, 0.3, 0.2}), 3, 2);
  EXPECT_EQ(scored.chosen.id, 3);
  EXPECT_NEAR(scored.chosen.logprob, std::log(0.2), 1e-6);
  ASSERT_EQ(scored.top.size(), 2u);
  EXPECT_EQ(scored.top[0].id, 1);
  EXPECT_NEAR(scored.top[0].logprob, std::log(0.4), 1e-6);
  EXPECT_EQ(scored.top[1].id, 2);
  EXPECT_EQ(sampler.score(logs({0.5, 0.5, 1e-9, 1e-9}), 0, 1).top[0].id, 0) << "ties: lowest id";
  EXPECT_TRUE(sampler.score(std::vector<float>{0, 0, 0, 0}, 0, 0).top.empty());
  EXPECT_EQ(sampler.score(std::vector<float>{0, 0, 0, 0}, 0, 9).top.size(), 4u);
}

TEST(SamplingParams, NamesTheFieldThatIsWrong) {
  using testing::error_of;
  const auto refuse = [](auto set) {
    SamplingParams params;
    set(params);
    return error_of([&] { params.validate(100); });
  };
  EXPECT_EQ(refuse([](auto&) {}), "(no error)");
  EXPECT_EQ(refuse([](auto& p) { p.top_p = 1.5; }), "top_p: 1.5 is not between 0 and 1");
  EXPECT_EQ(refuse([](auto& p) { p.top_k = -2; }), "top_k: -2 is negative; 0 keeps all");
  EXPECT_EQ(refuse([](auto& p) { p.min_p = std::nan(""); }), "min_p: nan is not between 0 and 1");
  EXPECT_NE(refuse([](auto& p) { p.temperature = -1; }), "(no error)");
  EXPECT_EQ(refuse([](auto& p) { p.repetition_penalty = 0; }),
            "repetition_penalty: 0 is not positive");
  EXPECT_EQ(refuse([](auto& p) {
              p.logit_bias = {{100, 1.0}};
            }),
            "logit_bias: token 100 is not below the vocabulary's 100");
}

}  // namespace
}  // namespace ashlar::generate
