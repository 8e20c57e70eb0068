// What the engine sends for what it is asked: choices, echoes, scores, counts, refusals, health.
#include "tests/serve/engine_fixture.h"

#include <cmath>

namespace ashlar::serve {
namespace {

class EngineAnswers : public EngineFixture {
 protected:
  // One sequence at a time, and a request that runs for long.
  void start_single(int64_t max_waiting) {
    start({.blocks = 1200,
           .limits = {.max_batched_tokens = 16,
                      .max_seqs = 1,
                      .max_outputs = 4,
                      .max_waiting = max_waiting},
           .sizes = {.max_positions = 16384}});
  }
  static GenerateRequest endless() { return ask(random_prompt(1, 20), 16000); }
};

TEST_F(EngineAnswers, SamplesOfAPromptComputeItOnce) {
  start({});
  GenerateRequest request = ask(random_prompt(1, 100), 5);
  request.n = 4;
  const auto sink = answer(request);
  ASSERT_EQ(sink->choices(), 4u);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(sink->choice(i).ids.size(), 5u);
  EXPECT_NE(sink->choice(0).ids, sink->choice(1).ids);
  EXPECT_EQ(engine_->stats().prefix_hits, 3 * 96);
  EXPECT_EQ(sink->done().usage.prompt_tokens, 100) << "a prompt counts once";
  EXPECT_EQ(sink->done().usage.completion_tokens, 20);
  EXPECT_EQ(sink->done().usage.longest_completion, 5);
  EXPECT_EQ(sink->done().usage.cached_tokens, 0) << "no earlier request had it";
  EXPECT_EQ(answer(request)->done().usage.cached_tokens, 96);
  EXPECT_EQ(engine_->stats().prompt_tokens, 200);
  EXPECT_EQ(engine_->stats().generation_tokens, 40);
  // A prompt of 100, then seven times the 4 tokens behind what was cached, and 4 of each answer.
  EXPECT_EQ(engine_->stats().step_tokens.tokens, 100 + 7 * 4 + 8 * 4);
  request.n = 1;
  EXPECT_EQ(answer(request)->choice().ids, sink->choice(0).ids)
      << "the first sample is the same, however many there are";
}

TEST_F(EngineAnswers, PromptsOfARequestAreChoicesInOrder) {
  start({});
  GenerateRequest request = ask(random_prompt(1, 30), 6);
  request.prompts.emplace_back(std::in_place_type<TokenIds>, random_prompt(2, 7));
  request.n = 2;
  const auto both = answer(request);
  EXPECT_EQ(both->accepted_tokens(), 37);
  ASSERT_EQ(both->choices(), 4u);
  GenerateRequest second = ask(random_prompt(2, 7), 6);
  second.n = 2;
  const auto alone = answer(second);
  EXPECT_EQ(both->choice(2).ids, alone->choice(0).ids);
  EXPECT_EQ(both->choice(3).ids, alone->choice(1).ids);
}

TEST_F(EngineAnswers, EchoesAndScoresPrompts) {
  start({});
  const TokenIds prompt = random_prompt(6, 70);
  GenerateRequest request = ask(prompt, 4);
  request.sampling.temperature = 0;
  request.logprobs = true;
  request.top_logprobs = 2;
  const auto plain = answer(request);
  request.echo = true;
  const auto echoed = answer(request);
  const Gathered::Choice& choice = echoed->choice();
  ASSERT_EQ(choice.ids.size(), 74u);
  ASSERT_EQ(choice.logprobs.size(), 74u);
  EXPECT_TRUE(std::equal(prompt.begin(), prompt.end(), choice.ids.begin()));
  EXPECT_FALSE(choice.logprobs[0].logprob) << "nothing says how likely the first token was";
  for (size_t i = 1; i < 74; ++i) {
    EXPECT_EQ(choice.logprobs[i].id, choice.ids[i]);
    ASSERT_EQ(choice.logprobs[i].top.size(), 2u);
    EXPECT_LE(*choice.logprobs[i].logprob, choice.logprobs[i].top[0].logprob);
  }
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(choice.ids[70 + i], plain->choice().ids[i]);
    EXPECT_EQ(*choice.logprobs[70 + i].logprob, *plain->choice().logprobs[i].logprob);
  }
  // What was generated, scored as a prompt, is as likely as it was when it was drawn.
  GenerateRequest again = request;
  again.prompts[0] = choice.ids;
  again.max_tokens = 0;
  const auto scored = answer(again);
  EXPECT_EQ(scored->done().usage.completion_tokens, 0);
  ASSERT_EQ(scored->choice().logprobs.size(), 74u);
  for (size_t i = 1; i < 74; ++i) {
    EXPECT_EQ(*scored->choice().logprobs[i].logprob, *choice.logprobs[i].logprob);
  }
}

TEST_F(EngineAnswers, NothingIsComputedForNoTokens) {
  start({});
  GenerateRequest request = ask({7}, 0);
  EXPECT_EQ(answer(request)->choice().reason, FinishReason::kLength);
  request.echo = true;
  EXPECT_EQ(answer(request)->choice().ids, TokenIds{7});
  request.logprobs = true;
  request.n = 2;
  const auto scored = answer(request);
  ASSERT_EQ(scored->choice(1).logprobs.size(), 1u);
  EXPECT_FALSE(scored->choice(1).logprobs[0].logprob);
}

TEST_F(EngineAnswers, EndsAtEndTokensLengthAndContext) {
  start({});
  GenerateRequest request = ask(random_prompt(1, 10), 300);
  const auto full = answer(request);
  EXPECT_EQ(full->choice().ids.size(), 246u) << "the context has 256 tokens";
  EXPECT_EQ(full->choice().reason, FinishReason::kLength);
  request.max_tokens.reset();
  EXPECT_EQ(answer(request)->choice().ids, full->choice().ids);

  request.sampling.temperature = 0;
  request.sampling.logit_bias = {{2, 100}};
  request.ignore_eos = false;
  const auto ended = answer(request);
  EXPECT_EQ(ended->choice().reason, FinishReason::kStop);
  EXPECT_TRUE(ended->choice().ids.empty()) << "the end token is not part of the text";
  EXPECT_EQ(ended->done().usage.completion_tokens, 1);
}

TEST_F(EngineAnswers, RefusesWithTheFieldAndTheKind) {
  start({});
  const auto fault = [&](GenerateRequest request) {
    const auto sink = answer(std::move(request));
    EXPECT_EQ(sink->accepted_tokens(), -1) << "it was not accepted";
    return sink->fault().value_or(Fault{FaultKind::kInternal, "(no fault)", "", 0});
  };
  EXPECT_EQ(fault(ask({}, 5)).message, "prompt: empty; give at least one token");
  EXPECT_EQ(fault(ask(TokenIds(256, 1), 5)).kind, FaultKind::kContextLength);
  EXPECT_EQ(fault(ask({97}, 5)).kind, FaultKind::kInvalid);
  GenerateRequest text = ask({1}, 5);
  text.prompts[0].emplace<TextPrompt>().text = "words";
  EXPECT_EQ(fault(text).kind, FaultKind::kUnsupported);
  text.prompts[0].emplace<ChatPrompt>();
  EXPECT_EQ(fault(text).param, "messages");
  GenerateRequest stop = ask({1}, 5);
  stop.stop = {"x"};
  EXPECT_EQ(fault(stop).param, "stop");
  GenerateRequest bias = ask({1}, 5);
  bias.sampling.logit_bias = {{97, 1}};
  EXPECT_EQ(fault(bias).message, "logit_bias: token 97 is not below the vocabulary's 97");
}

TEST_F(EngineAnswers, TheContextIsNoLongerThanTheCache) {
  start({.blocks = 4});
  EXPECT_EQ(engine_->models().front().context_length, 64);
  EXPECT_EQ(answer(ask(random_prompt(1, 60), 100))->choice().ids.size(), 4u);
  EXPECT_EQ(answer(ask(random_prompt(1, 64), 1))->fault()->kind, FaultKind::kContextLength);
}

TEST_F(EngineAnswers, TellsHowLongEverythingTook) {
  start({});
  const Done done = answer(ask(random_prompt(1, 200), 20))->done();
  EXPECT_GE(done.timings.queue_s, 0);
  EXPECT_GT(done.timings.prefill_s, 0);
  EXPECT_GT(done.timings.decode_s, 0);
}

TEST_F(EngineAnswers, HealthSaysThatNothingStandsStill) {
  start({});
  answer(ask(random_prompt(1, 20), 3));
  const Health health = engine_->health();
  EXPECT_TRUE(health.live);
  EXPECT_TRUE(health.ready);
  EXPECT_LT(health.stalled_s, 10);
  EXPECT_EQ(health.problem, "");
}

TEST_F(EngineAnswers, ACancelledRequestInTheQueueNeverRuns) {
  start_single(9);
  RequestId running = 0, queued = 0;
  const auto first = submit(endless(), &running);
  const auto second = submit(ask(random_prompt(2, 20), 5), &queued);
  first->wait_for_ids(2);
  engine_->cancel(queued);
  engine_->cancel(running);
  engine_->cancel(12345);
  EXPECT_EQ(answer(ask(random_prompt(3, 20), 3))->choice().ids.size(), 3u);
  EXPECT_EQ(second->choices(), 0u);
}

TEST_F(EngineAnswers, AFullQueueRefusesAllOfARequest) {
  start_single(4);
  RequestId id = 0;
  const auto running = submit(endless(), &id);
  running->wait_for_ids(1);
  GenerateRequest three = ask(random_prompt(2, 5), 2);
  three.n = 3;
  const auto queued = submit(three);
  try {
    submit(three);
    FAIL() << "six choices wait where four may";
  } catch (const RequestError& error) {
    EXPECT_EQ(error.fault().kind, FaultKind::kOverloaded);
    EXPECT_EQ(error.fault().message, "the queue is full: 3 are waiting, 4 may; try again later");
  }
  engine_->cancel(id);
  queued->wait();
  EXPECT_EQ(queued->choices(), 3u);
  EXPECT_FALSE(answer(three)->fault()) << "there is room again";
}

}  // namespace
}  // namespace ashlar::serve
