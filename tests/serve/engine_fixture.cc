#include "tests/serve/engine_fixture.h"

#include "ashlar/base/cpu.h"

#include <limits>
#include <random>

namespace ashlar::serve {

void Gathered::on_event(Event event) noexcept {
  const std::lock_guard lock(mutex_);
  EXPECT_FALSE(over_) << "an event after the last";
  if (const auto* accepted = std::get_if<Accepted>(&event)) {
    EXPECT_EQ(accepted_, -1);
    accepted_ = accepted->prompt_tokens;
  } else if (auto* delta = std::get_if<Delta>(&event)) {
    EXPECT_GE(accepted_, 0) << "a delta before it was accepted";
    Choice& choice = choices_[delta->choice];
    EXPECT_FALSE(choice.reason) << "a delta after the choice's end";
    choice.text += delta->text;
    choice.ids.insert(choice.ids.end(), delta->ids.begin(), delta->ids.end());
    for (Logprob& entry : delta->logprobs) choice.logprobs.push_back(std::move(entry));
  } else if (const auto* end = std::get_if<ChoiceEnd>(&event)) {
    EXPECT_FALSE(choices_[end->choice].reason);
    choices_[end->choice].reason = end->reason;
  } else if (const auto* done = std::get_if<Done>(&event)) {
    for (const auto& [index, choice] : choices_) EXPECT_TRUE(choice.reason) << index;
    done_ = *done;
    over_ = true;
  } else {
    fault_ = std::get<Failed>(event).fault;
    over_ = true;
  }
  changed_.notify_all();
}

void Gathered::wait() const {
  std::unique_lock lock(mutex_);
  ASSERT_TRUE(changed_.wait_for(lock, std::chrono::seconds(60), [&] { return over_; }));
}

void Gathered::wait_for_ids(size_t count) const {
  std::unique_lock lock(mutex_);
  const auto enough = [&] {
    return over_ || (choices_.contains(0) && choices_.at(0).ids.size() >= count);
  };
  ASSERT_TRUE(changed_.wait_for(lock, std::chrono::seconds(60), enough));
}

void EngineFixture::start(const EngineSetup& setup) {
  engine_.reset();
  runner_.reset();
  pool_.emplace(setup.threads);
  generate::ModelOptions options;
  options.limits = {.tokens = setup.limits.max_batched_tokens,
                    .seqs = setup.limits.max_seqs,
                    .outputs = setup.limits.max_outputs};
  options.blocks = setup.blocks;
  options.compute = options.cache = setup.compute;
  const models::DecoderConfig config = testing::random_model_config(setup.sizes);
  options = resolve(options, config);
  graph::Graph graph = generate::build_serving_graph(config, options);
  runtime::VariableStore weights = testing::random_weights(graph, 11);
  if (setup.nan_token >= 0) {
    Tensor row = weights.at("embed.weight").rows(setup.nan_token, setup.nan_token + 1);
    row.span<float>()[0] = std::numeric_limits<float>::quiet_NaN();
  }
  runner_ = std::make_unique<generate::ModelRunner>(std::move(graph), options.limits, weights,
                                                    kernels::kernel_table(best_isa_tier()), *pool_);
  EngineModel model{.info = {.id = "random",
                             .context_length = runner_->max_context(),
                             .vocab_size = runner_->vocab(),
                             .weight_version = "w1",
                             .defaults = {}},
                    .encoder = PromptEncoder(std::nullopt, std::nullopt, {}, runner_->vocab(),
                                             runner_->max_context()),
                    .end_tokens = {2}};
  engine_ = std::make_unique<Engine>(*runner_, std::move(model), setup.limits, clock_);
}

std::shared_ptr<Gathered> EngineFixture::submit(GenerateRequest request, RequestId* id) {
  auto sink = std::make_shared<Gathered>();
  const RequestId given = engine_->submit(std::move(request), sink);
  if (id != nullptr) *id = given;
  return sink;
}

std::shared_ptr<Gathered> EngineFixture::answer(GenerateRequest request) {
  auto sink = submit(std::move(request));
  sink->wait();
  return sink;
}

TokenIds random_prompt(uint32_t seed, size_t length) {
  std::mt19937 random(seed);
  TokenIds ids(length);
  for (int32_t& id : ids) id = static_cast<int32_t>(10 + random() % 80);
  return ids;
}

GenerateRequest ask(TokenIds prompt, int64_t max_tokens) {
  GenerateRequest request;
  request.prompts = {std::move(prompt)};
  request.max_tokens = max_tokens;
  request.sampling.seed = 1;
  request.ignore_eos = true;
  return request;
}

}  // namespace ashlar::serve
