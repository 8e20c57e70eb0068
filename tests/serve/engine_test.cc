// The engine on a real (tiny) model: golden answers alone and in a crowd, cancellation, stops,
// queue limits, faults that stay with their request, shutting down.
#include "ashlar/serve/engine.h"

#include "ashlar/base/cpu.h"
#include "ashlar/base/file.h"
#include "ashlar/generate/open_model.h"
#include "tests/base/paths.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <condition_variable>
#include <mutex>

namespace ashlar::serve {
namespace {

const std::string kModel = test_data("models/llama");

// Collects the events of one request.
class Collector : public EventSink {
 public:
  void on_event(Event event) noexcept override {
    const std::lock_guard lock(mutex_);
    if (const auto* delta = std::get_if<Delta>(&event)) {
      Answer& answer = answers_[delta->choice];
      answer.text += delta->text;
      answer.ids.insert(answer.ids.end(), delta->ids.begin(), delta->ids.end());
      answer.logprobs += delta->logprobs.size();
    } else if (const auto* end = std::get_if<ChoiceEnd>(&event)) {
      answers_[end->choice].reason = end->reason;
    } else if (const auto* done = std::get_if<Done>(&event)) {
      usage_ = done->usage;
      finished_ = true;
    } else if (const auto* failed = std::get_if<Failed>(&event)) {
      fault_ = failed->fault;
      finished_ = true;
    }
    changed_.notify_all();
  }

  struct Answer {
    std::string text;
    TokenIds ids;
    size_t logprobs = 0;
    std::optional<FinishReason> reason;
    bool operator==(const Answer&) const = default;
  };

  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return finished_; });
  }
  void wait_for_tokens(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return finished_ || answers_[0].ids.size() >= count; });
  }
  const Answer& answer(int choice = 0) { return answers_[choice]; }
  const std::optional<Fault>& fault() const { return fault_; }
  const Usage& usage() const { return usage_; }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<int, Answer> answers_;
  std::optional<Fault> fault_;
  Usage usage_;
  bool finished_ = false;
};

class EngineTest : public ::testing::Test {
 protected:
  void start(int64_t blocks = 64,
             SchedulerLimits limits = {
                 .max_batched_tokens = 64, .max_seqs = 8, .max_outputs = 64, .max_waiting = 100}) {
    const bundle::Bundle bundle = bundle::Bundle::open(kModel);
    generate::ModelOptions options;
    options.limits = {.tokens = limits.max_batched_tokens,
                      .seqs = limits.max_seqs,
                      .outputs = limits.max_outputs};
    options.blocks = blocks;
    runner_ = generate::open_model(bundle, options, kernels::kernel_table(best_isa_tier()), pool_);
    const text::ChatFiles files = bundle.chat_files();
    const text::ChatTemplateSource* source = files.choose(false);
    ModelInfo info;
    info.id = "llama";
    info.context_length = 256;
    info.vocab_size = runner_->vocab();
    EngineModel model{
        .info = info,
        .encoder = PromptEncoder(bundle.load_tokenizer(),
                                 text::ChatTemplate::parse(source->source, source->where),
                                 files.special_tokens, runner_->vocab(), runner_->max_context()),
        .end_tokens = {2}};
    engine_ = std::make_unique<Engine>(*runner_, std::move(model), limits, clock_);
  }

  std::shared_ptr<Collector> submit(GenerateRequest request, RequestId* id = nullptr) {
    auto sink = std::make_shared<Collector>();
    const RequestId given = engine_->submit(std::move(request), sink);
    if (id != nullptr) *id = given;
    return sink;
  }

  static nlohmann::json goldens() {
    return nlohmann::json::parse(read_file(std::string(kModel) + "/golden.json")).at("generate");
  }

  static GenerateRequest greedy(const nlohmann::json& golden) {
    GenerateRequest request;
    request.prompts = {golden.at("prompt_ids").get<TokenIds>()};
    request.max_tokens = 24;
    request.sampling.temperature = 0;
    request.ignore_eos = true;
    return request;
  }

  SteadyClock clock_;
  ThreadPool pool_{2};
  std::unique_ptr<generate::ModelRunner> runner_;
  std::unique_ptr<Engine> engine_;
};

TEST_F(EngineTest, AnswersAsTheGoldensDo) {
  start();
  for (const auto& golden : goldens()) {
    const auto sink = submit(greedy(golden));
    sink->wait();
    EXPECT_EQ(sink->answer().ids, golden.at("greedy_ids").get<TokenIds>());
    EXPECT_EQ(sink->answer().reason, FinishReason::kLength);
    EXPECT_EQ(sink->usage().completion_tokens, 24);
  }
}

// Twelve at once over a cache that holds only a few of them: waiting, chunks, preemption and shared
// prefixes change nothing.
TEST_F(EngineTest, ACrowdChangesNothing) {
  const auto all = goldens();
  for (const int64_t blocks : {12, 64}) {
    start(blocks, {.max_batched_tokens = 16, .max_seqs = 5, .max_outputs = 16, .max_waiting = 100});
    std::vector<std::shared_ptr<Collector>> sinks;
    for (size_t i = 0; i < 12; ++i) sinks.push_back(submit(greedy(all[i % all.size()])));
    for (size_t i = 0; i < sinks.size(); ++i) {
      sinks[i]->wait();
      ASSERT_FALSE(sinks[i]->fault()) << sinks[i]->fault()->message;
      EXPECT_EQ(sinks[i]->answer().ids, all[i % all.size()].at("greedy_ids").get<TokenIds>());
    }
    EXPECT_EQ(engine_->stats().running + engine_->stats().waiting, 0);
  }
}

TEST_F(EngineTest, SeedsDecideSamples) {
  start();
  GenerateRequest request = greedy(goldens()[0]);
  request.sampling.temperature = 1;
  request.sampling.seed = 7;
  request.n = 3;
  request.logprobs = true;
  const auto first = submit(request), second = submit(request);
  first->wait();
  second->wait();
  for (const int choice : {0, 1, 2}) {
    EXPECT_EQ(first->answer(choice), second->answer(choice));
    EXPECT_EQ(first->answer(choice).logprobs, 24u);
  }
  EXPECT_NE(first->answer(0).ids, first->answer(1).ids);
}

TEST_F(EngineTest, StopsAtStringsAndEndTokens) {
  start();
  GenerateRequest request = greedy(goldens()[0]);
  const auto whole = submit(request);
  whole->wait();
  const std::string text = whole->answer().text;
  ASSERT_GT(text.size(), 8u);
  const std::string stop = text.substr(4, 3);
  request.stop = {stop};
  const auto stopped = submit(request);
  stopped->wait();
  EXPECT_EQ(stopped->answer().text, text.substr(0, text.find(stop)));
  EXPECT_EQ(stopped->answer().reason, FinishReason::kStop);
}

TEST_F(EngineTest, FaultsStayWithTheirRequest) {
  start();
  GenerateRequest bad = greedy(goldens()[0]);
  bad.prompts = {TokenIds{1, 2, 512}};
  GenerateRequest lengthy = greedy(goldens()[0]);
  lengthy.prompts = {TokenIds(256, 5)};
  const auto good = submit(greedy(goldens()[0]));
  const auto bad_sink = submit(bad), long_sink = submit(lengthy);
  for (const auto& sink : {good, bad_sink, long_sink}) sink->wait();
  EXPECT_FALSE(good->fault());
  ASSERT_TRUE(bad_sink->fault());
  EXPECT_EQ(bad_sink->fault()->kind, FaultKind::kInvalid);
  EXPECT_EQ(bad_sink->fault()->message,
            "prompt: token id 512 is outside the vocabulary of 512 tokens");
  ASSERT_TRUE(long_sink->fault());
  EXPECT_EQ(long_sink->fault()->kind, FaultKind::kContextLength);
}

TEST_F(EngineTest, ACancelledRequestFreesItsBlocks) {
  start();
  GenerateRequest request = greedy(goldens()[0]);
  request.max_tokens.reset();
  RequestId id = 0;
  const auto sink = submit(request, &id);
  sink->wait_for_tokens(3);
  engine_->cancel(id);
  // The next request is handled after the cancellation and ends alone.
  const auto next = submit(greedy(goldens()[1]));
  next->wait();
  EXPECT_EQ(engine_->stats().waiting, 0);
  EXPECT_LE(sink->answer().ids.size(), 256u);
  EXPECT_FALSE(sink->fault());
}

TEST_F(EngineTest, MoreChoicesThanMayEverWaitAreInvalid) {
  start(64, {.max_batched_tokens = 16, .max_seqs = 1, .max_outputs = 16, .max_waiting = 4});
  GenerateRequest many = greedy(goldens()[0]);
  many.n = 5;
  try {
    submit(many);
    FAIL() << "five choices were queued where four may wait";
  } catch (const RequestError& error) {
    EXPECT_EQ(error.fault().kind, FaultKind::kInvalid) << "trying again does not help";
    EXPECT_EQ(error.fault().param, "n");
    EXPECT_EQ(error.fault().message,
              "5 choices in one request, but only 4 may wait here; send several requests");
  }
}

TEST_F(EngineTest, ShuttingDownAnswersEveryone) {
  start();
  std::vector<std::shared_ptr<Collector>> sinks;
  GenerateRequest request = greedy(goldens()[0]);
  request.max_tokens.reset();
  for (int i = 0; i < 6; ++i) sinks.push_back(submit(request));
  engine_.reset();
  for (const auto& sink : sinks) {
    sink->wait();
    if (sink->fault()) {
      EXPECT_EQ(sink->fault()->kind, FaultKind::kShuttingDown);
    }
  }
}

TEST_F(EngineTest, RendersChats) {
  start();
  const auto golden =
      nlohmann::json::parse(read_file(std::string(kModel) + "/golden.json")).at("chat");
  ChatPrompt chat;
  for (const auto& message : golden.at("messages")) {
    chat.messages.push_back({message.at("role"), message.at("content"), ""});
  }
  std::optional<TokenIds> ids;
  std::mutex mutex;
  std::condition_variable done;
  engine_->tokenize(chat, [&](std::variant<TokenIds, Fault> result) {
    const std::lock_guard lock(mutex);
    ids = std::get<TokenIds>(result);
    done.notify_one();
  });
  std::unique_lock lock(mutex);
  done.wait(lock, [&] { return ids.has_value(); });
  const text::Tokenizer tokenizer = bundle::Bundle::open(kModel).load_tokenizer();
  EXPECT_EQ(*ids, tokenizer.encode(golden.at("prompt").get<std::string>(), false));
}

}  // namespace
}  // namespace ashlar::serve
