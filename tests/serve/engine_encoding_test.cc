// Encoding prompts holds up nobody: the engine's steps go on meanwhile, and who leaves, or is still
// in the queue when the engine ends, is seen to.
#include "tests/serve/engine_fixture.h"

#include <future>

namespace ashlar::serve {
namespace {

class EngineEncoding : public EngineFixture {
 protected:
  // Keeps the encoder's thread busy until release().
  void block() {
    std::promise<void> busy;
    engine_->tokenize(TokenIds{1}, [this, &busy](std::variant<TokenIds, Fault>) {
      busy.set_value();
      gate_.get_future().wait();
    });
    busy.get_future().wait();
  }
  void release() { gate_.set_value(); }

  std::promise<void> gate_;
};

TEST_F(EngineEncoding, RunningRequestsGoOnMeanwhile) {
  start({});
  const auto running = submit(ask(random_prompt(1, 20), 150));
  running->wait_for_ids(1);
  block();
  const auto queued = submit(ask(random_prompt(2, 20), 5));
  running->wait();
  EXPECT_EQ(running->choice().ids.size(), 150u);
  EXPECT_EQ(queued->accepted_tokens(), -1);
  release();
  queued->wait();
  EXPECT_EQ(queued->choice().ids.size(), 5u);
}

TEST_F(EngineEncoding, WhoLeavesMeanwhileLeavesNothing) {
  start({.limits = {.max_batched_tokens = 64, .max_seqs = 8, .max_outputs = 16, .max_waiting = 2}});
  block();
  RequestId first = 0, second = 0;
  const auto gone = submit(ask(random_prompt(1, 20), 5), &first);
  const auto stays = submit(ask(random_prompt(2, 20), 5), &second);
  EXPECT_THROW(submit(ask(random_prompt(3, 20), 5)), RequestError) << "the queue is full";
  engine_->cancel(first);
  const auto next = submit(ask(random_prompt(3, 20), 5));
  release();
  stays->wait();
  next->wait();
  EXPECT_EQ(next->choice().ids.size(), 5u);
  EXPECT_EQ(gone->accepted_tokens(), -1);
  EXPECT_FALSE(gone->fault());
}

TEST_F(EngineEncoding, TheEngineEndsBeforeTheyAreEncoded) {
  start({});
  block();
  const auto queued = submit(ask(random_prompt(1, 20), 5));
  std::promise<std::variant<TokenIds, Fault>> tokens;
  engine_->tokenize(TokenIds{1, 2},
                    [&](std::variant<TokenIds, Fault> result) { tokens.set_value(result); });
  std::thread end([this] { engine_.reset(); });
  release();
  end.join();
  queued->wait();
  // Either it was taken before the engine heard of its end, or not; it was told in both cases.
  if (queued->accepted_tokens() < 0) {
    ASSERT_TRUE(queued->fault());
    EXPECT_EQ(queued->fault()->kind, FaultKind::kShuttingDown);
  }
  EXPECT_EQ(tokens.get_future().wait_for(std::chrono::seconds(0)), std::future_status::ready);
}

}  // namespace
}  // namespace ashlar::serve
