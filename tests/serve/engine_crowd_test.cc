// What a request gets does not depend on who else is there: tokens, and the bits of the
// log-probabilities, alone and in traffic that queues, chunks, preempts and shares.
#include "tests/serve/engine_fixture.h"

#include <bit>
#include <random>
#include <thread>

namespace ashlar::serve {
namespace {

// Everything about an answer, log-probabilities bit by bit.
std::vector<uint64_t> fingerprint(const Gathered& gathered, int choice) {
  std::vector<uint64_t> bits;
  const Gathered::Choice& answer = gathered.choice(choice);
  for (const int32_t id : answer.ids) bits.push_back(static_cast<uint64_t>(id));
  for (const Logprob& entry : answer.logprobs) {
    bits.push_back(std::bit_cast<uint64_t>(entry.logprob.value_or(1)));
    for (const TopToken& top : entry.top) bits.push_back(std::bit_cast<uint64_t>(top.logprob));
  }
  return bits;
}

std::vector<GenerateRequest> mixed_requests() {
  std::vector<GenerateRequest> requests;
  const TokenIds common = random_prompt(99, 50);
  std::mt19937 random(5);
  for (uint32_t i = 0; i < 24; ++i) {
    TokenIds prompt = random_prompt(i, 1 + random() % 120);
    if (i % 3 == 0) prompt.insert(prompt.begin(), common.begin(), common.end());
    GenerateRequest request = ask(prompt, 1 + random() % 80);
    request.sampling.seed = i;
    request.sampling.temperature = i % 4 == 0 ? 0 : 0.9;
    request.sampling.top_p = i % 2 == 0 ? 0.9 : 1;
    request.sampling.repetition_penalty = i % 5 == 0 ? 1.2 : 1;
    request.logprobs = true;
    request.top_logprobs = 3;
    request.echo = i % 6 == 1;
    request.n = i % 7 == 2 ? 3 : 1;
    requests.push_back(std::move(request));
  }
  return requests;
}

class EngineCrowd : public EngineFixture {};

TEST_F(EngineCrowd, EveryAnswerIsTheOneItGetsAlone) {
  const std::vector<GenerateRequest> requests = mixed_requests();
  // The last becomes another model for sequences of more than 70 tokens (LongRoPE).
  for (const auto& [compute, short_positions] :
       {std::pair{DType::kF32, 0}, std::pair{DType::kBF16, 0}, std::pair{DType::kF32, 70}}) {
    const testing::RandomModelSizes sizes{.short_positions = short_positions};
    start({.blocks = 64, .compute = compute, .sizes = sizes});
    std::vector<std::shared_ptr<Gathered>> alone;
    for (const GenerateRequest& request : requests) alone.push_back(answer(request));

    // A cache that holds one long request and little more, short steps, one thread more. All at
    // once, then one by one.
    for (const int pause_us : {0, 2000}) {
      start({.blocks = 18,
             .threads = 3,
             .compute = compute,
             .limits =
                 {.max_batched_tokens = 24, .max_seqs = 8, .max_outputs = 12, .max_waiting = 100},
             .sizes = sizes});
      std::mt19937 random(7);
      std::vector<std::shared_ptr<Gathered>> crowd;
      for (const GenerateRequest& request : requests) {
        crowd.push_back(submit(request));
        if (pause_us == 0) continue;
        std::this_thread::sleep_for(
            std::chrono::microseconds(random() % static_cast<unsigned>(pause_us)));
      }
      for (size_t i = 0; i < requests.size(); ++i) {
        crowd[i]->wait();
        ASSERT_FALSE(crowd[i]->fault()) << crowd[i]->fault()->message;
        for (int choice = 0; choice < requests[i].n; ++choice) {
          EXPECT_EQ(fingerprint(*crowd[i], choice), fingerprint(*alone[i], choice))
              << name(compute) << " request " << i << " choice " << choice;
        }
      }
      const EngineStats stats = engine_->stats();
      if (pause_us == 0) {
        EXPECT_GT(stats.preemptions, 0) << "the cache was not small enough";
      }
      EXPECT_GT(stats.prefix_hits, 0);
      EXPECT_EQ(stats.kv_usage, 0) << "blocks leaked";
    }
  }
}

TEST_F(EngineCrowd, CancellingNeighboursChangesNothing) {
  start({});
  const GenerateRequest request = ask(random_prompt(3, 40), 60);
  const auto wanted = answer(request);
  for (int round = 0; round < 5; ++round) {
    std::vector<RequestId> ids(6);
    std::vector<std::shared_ptr<Gathered>> others;
    for (uint32_t i = 0; i < 6; ++i) {
      others.push_back(submit(ask(random_prompt(50 + i, 30), 150), &ids[i]));
    }
    const auto again = submit(request);
    again->wait_for_ids(static_cast<size_t>(1 + round * 8));
    for (const RequestId id : ids) engine_->cancel(id);
    again->wait();
    EXPECT_EQ(again->choice().ids, wanted->choice().ids);
    for (const auto& other : others) EXPECT_FALSE(other->fault());
  }
  answer(ask(random_prompt(1, 3), 1));
  EXPECT_GT(engine_->stats().generation_tokens, 6 * 60 + 1) << "what was cancelled was written too";
  EXPECT_EQ(engine_->stats().kv_usage, 0) << "the cancelled left blocks behind";
  EXPECT_EQ(engine_->stats().running + engine_->stats().waiting, 0);
}

TEST_F(EngineCrowd, ANanEndsOnlyTheRequestThatHasIt) {
  start({.nan_token = 5});
  const GenerateRequest good = ask(random_prompt(3, 40), 30);
  const auto wanted = answer(good);
  TokenIds poisoned = random_prompt(4, 20);
  poisoned[10] = 5;
  GenerateRequest bad = ask(poisoned, 30);
  bad.n = 2;
  const auto first = submit(good), failed = submit(bad), second = submit(good);
  for (const auto& sink : {first, failed, second}) sink->wait();
  ASSERT_TRUE(failed->fault());
  EXPECT_EQ(failed->fault()->kind, FaultKind::kInternal);
  EXPECT_EQ(failed->fault()->message, "sampling: the logit of token 0 is NaN");
  EXPECT_EQ(first->choice().ids, wanted->choice().ids);
  EXPECT_EQ(second->choice().ids, wanted->choice().ids);
  EXPECT_TRUE(engine_->health().live);
  EXPECT_EQ(answer(good)->choice().ids, wanted->choice().ids);
}

}  // namespace
}  // namespace ashlar::serve
