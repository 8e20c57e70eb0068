#include "ashlar/serve/embedding_engine.h"

#include <pthread.h>

#include <algorithm>
#include <iterator>
#include <utility>

namespace ashlar::serve {
namespace {

Fault fault_of(const std::exception& error) {
  if (const auto* request = dynamic_cast<const RequestError*>(&error)) return request->fault();
  const bool ours = dynamic_cast<const Error*>(&error) == nullptr;
  return {ours ? FaultKind::kInternal : FaultKind::kInvalid, error.what(), "input"};
}

Fault shutting_down() { return {FaultKind::kShuttingDown, "the server is shutting down", ""}; }

}  // namespace

EmbeddingEngine::EmbeddingEngine(embed::Embedder& embedder, ModelInfo info, int64_t max_waiting,
                                 const Clock& clock)
    : embedder_(embedder),
      info_(std::move(info)),
      max_waiting_(max_waiting),
      clock_(clock),
      thread_([this] { work(); }) {
  pthread_setname_np(thread_.native_handle(), "engine");
}

EmbeddingEngine::~EmbeddingEngine() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

RequestId EmbeddingEngine::submit(GenerateRequest, std::shared_ptr<EventSink>) {
  throw RequestError({FaultKind::kUnsupported,
                      "this model turns texts into vectors and generates none: use /v1/embeddings",
                      "model"});
}

void EmbeddingEngine::embed(EmbedRequest request, Reply<Embeddings> reply) {
  if (request.dimensions && *request.dimensions > embedder_.dimensions()) {
    throw RequestError({FaultKind::kInvalid,
                        fmt::format("dimensions: {} asked for, the model has {}",
                                    *request.dimensions, embedder_.dimensions()),
                        "dimensions"});
  }
  const auto texts = static_cast<int64_t>(request.inputs.size());
  {
    const std::lock_guard lock(mutex_);
    if (stop_) throw RequestError(shutting_down());
    if (stats_.waiting > 0 && stats_.waiting + texts > max_waiting_) {
      throw RequestError(
          {FaultKind::kOverloaded,
           fmt::format("{} texts are waiting already; try again later", stats_.waiting), "", 1});
    }
    stats_.waiting += texts;
    inbox_.push_back({std::move(request), std::move(reply)});
  }
  wake_.notify_one();
}

void EmbeddingEngine::post(std::function<void()> errand) {
  {
    const std::lock_guard lock(mutex_);
    if (stop_) throw RequestError(shutting_down());
    errands_.push_back(std::move(errand));
  }
  wake_.notify_one();
}

void EmbeddingEngine::tokenize(Prompt prompt, Reply<TokenIds> reply) {
  post([this, prompt = std::move(prompt), reply = std::move(reply)] {
    try {
      reply(tokenized(prompt, "prompt").ids);
    } catch (const std::exception& error) {
      reply(fault_of(error));
    }
  });
}

void EmbeddingEngine::detokenize(TokenIds ids, Reply<std::string> reply) {
  post([this, ids = std::move(ids), reply = std::move(reply)] {
    const text::Tokenizer* const tokenizer = embedder_.tokenizer();
    if (tokenizer == nullptr) {
      return reply(Fault{FaultKind::kUnsupported, "this model came without a tokenizer.json", ""});
    }
    reply(tokenizer->decode(ids, false));
  });
}

Health EmbeddingEngine::health() const {
  const std::lock_guard lock(mutex_);
  Health health;
  if (busy_) health.stalled_s = clock_.now() - last_progress_;
  return health;
}

EngineStats EmbeddingEngine::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

// ---------------------------------------------------------------- the engine's thread
embed::TokenizedText EmbeddingEngine::tokenized(const Prompt& input,
                                                const std::string& param) const {
  if (const auto* ids = std::get_if<TokenIds>(&input)) return {*ids};
  const auto* text = std::get_if<TextPrompt>(&input);
  if (text == nullptr) {
    throw RequestError({FaultKind::kUnsupported, param + ": this model takes no messages", param});
  }
  if (text->add_special_tokens || embedder_.tokenizer() == nullptr) {
    return embedder_.encode(text->text);
  }
  return {embedder_.tokenizer()->encode(text->text, false)};
}

void EmbeddingEngine::tokenize(Job& job) const {
  for (size_t i = 0; i < job.request.inputs.size(); ++i) {
    const std::string param =
        job.request.inputs.size() == 1 ? "input" : fmt::format("input[{}]", i);
    job.texts.push_back(tokenized(job.request.inputs[i], param));
    const auto tokens = static_cast<int64_t>(job.texts.back().ids.size());
    if (tokens == 0) throw RequestError({FaultKind::kInvalid, param + ": has no tokens", param});
    if (tokens > embedder_.max_tokens()) {
      throw RequestError({FaultKind::kContextLength,
                          fmt::format("{}: {} tokens, the model takes at most {}; shorten the text",
                                      param, tokens, embedder_.max_tokens()),
                          param});
    }
    const auto beyond = [&](int32_t id) { return id < 0 || id >= embedder_.vocab(); };
    if (std::ranges::any_of(job.texts.back().ids, beyond)) {
      throw RequestError({FaultKind::kInvalid,
                          fmt::format("{}: holds a token id outside the vocabulary of {} tokens",
                                      param, embedder_.vocab()),
                          param});
    }
    job.result.prompt_tokens += tokens;
  }
  job.tokenized = true;
}

std::vector<embed::TokenizedText> EmbeddingEngine::next_run() {
  constexpr int64_t kTokens = 2048;  // short enough that nobody waits long
  std::vector<embed::TokenizedText> run;
  int64_t tokens = 0;
  // Text 0 of what is left of each job, then text 1 of each, until the run is full.
  for (size_t turn = 0;; ++turn) {
    bool any = false;
    for (Job& job : jobs_) {
      const size_t next = job.result.vectors.size() + turn;
      if (next >= job.texts.size() || job.in_run != turn) continue;
      const auto length = static_cast<int64_t>(job.texts[next].ids.size());
      if (!run.empty() && tokens + length > kTokens) continue;
      tokens += length;
      run.push_back(job.texts[next]);
      ++job.in_run;
      any = true;
    }
    if (!any) return run;
  }
}

// In the order of next_run().
void EmbeddingEngine::take_vectors(std::vector<std::vector<float>> vectors) {
  auto vector = vectors.begin();
  for (size_t turn = 0; vector != vectors.end(); ++turn) {
    for (Job& job : jobs_) {
      if (job.in_run <= turn) continue;
      if (job.request.dimensions) {
        embed::shorten(*vector, *job.request.dimensions, embedder_.settings().normalize);
      }
      job.result.vectors.push_back(std::move(*vector++));
    }
  }
  for (Job& job : jobs_) job.in_run = 0;
}

void EmbeddingEngine::end(std::deque<Job>::iterator job, std::variant<Embeddings, Fault> result) {
  {
    const std::lock_guard lock(mutex_);
    stats_.waiting -= static_cast<int64_t>(job->request.inputs.size());
    if (const auto* done = std::get_if<Embeddings>(&result)) {
      stats_.prompt_tokens += done->prompt_tokens;
    }
  }
  job->reply(std::move(result));
}

void EmbeddingEngine::work() {
  while (true) {
    std::deque<std::function<void()>> errands;
    {
      std::unique_lock lock(mutex_);
      busy_ = !jobs_.empty();
      wake_.wait(
          lock, [this] { return stop_ || !jobs_.empty() || !inbox_.empty() || !errands_.empty(); });
      if (stop_) break;
      std::ranges::move(inbox_, std::back_inserter(jobs_));
      inbox_.clear();
      errands.swap(errands_);
      busy_ = true;
      last_progress_ = clock_.now();
    }
    for (const auto& errand : errands) errand();
    for (auto job = jobs_.begin(); job != jobs_.end();) {
      if (job->tokenized) {
        ++job;
        continue;
      }
      try {
        tokenize(*job);
        ++job;
      } catch (const std::exception& error) {
        end(job, fault_of(error));
        job = jobs_.erase(job);
      }
    }
    if (jobs_.empty()) continue;
    try {
      take_vectors(embedder_.embed(next_run()));
    } catch (const std::exception& error) {  // not a text's fault: those were checked
      for (auto job = jobs_.begin(); job != jobs_.end(); job = jobs_.erase(job)) {
        end(job, Fault{FaultKind::kInternal, error.what(), ""});
      }
    }
    for (auto job = jobs_.begin(); job != jobs_.end();) {
      if (job->result.vectors.size() < job->texts.size()) {
        ++job;
        continue;
      }
      end(job, std::move(job->result));
      job = jobs_.erase(job);
    }
  }
  // Nothing new comes once stop_ is set.
  std::ranges::move(inbox_, std::back_inserter(jobs_));
  for (auto job = jobs_.begin(); job != jobs_.end(); ++job) end(job, shutting_down());
  for (const auto& errand : errands_) errand();
}

}  // namespace ashlar::serve
