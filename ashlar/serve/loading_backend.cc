#include "ashlar/serve/loading_backend.h"

#include <utility>

namespace ashlar::serve {

void LoadingBackend::show(std::string_view stage, double fraction) {
  const std::lock_guard lock(mutex_);
  stage_ = stage;
  fraction_ = fraction;
}

Backend& LoadingBackend::need() const {
  Backend* const loaded = loaded_;
  if (loaded == nullptr) {
    throw RequestError({FaultKind::kNotReady, "the model is loading; try again later", "", 1});
  }
  return *loaded;
}

RequestId LoadingBackend::submit(GenerateRequest request, std::shared_ptr<EventSink> sink) {
  return need().submit(std::move(request), std::move(sink));
}

void LoadingBackend::cancel(RequestId id) { need().cancel(id); }

void LoadingBackend::tokenize(Prompt prompt, Reply<TokenIds> reply) {
  need().tokenize(std::move(prompt), std::move(reply));
}

void LoadingBackend::detokenize(TokenIds ids, Reply<std::string> reply) {
  need().detokenize(std::move(ids), std::move(reply));
}

bool LoadingBackend::can_embed() const { return need().can_embed(); }

void LoadingBackend::embed(EmbedRequest request, Reply<Embeddings> reply) {
  need().embed(std::move(request), std::move(reply));
}

std::vector<ModelInfo> LoadingBackend::models() const {
  const Backend* const loaded = loaded_;
  return loaded != nullptr ? loaded->models() : std::vector{known_};
}

Health LoadingBackend::health() const {
  if (const Backend* const loaded = loaded_) return loaded->health();
  const std::lock_guard lock(mutex_);
  Health health;
  health.ready = false;
  health.stage = stage_;
  health.fraction = fraction_;
  return health;
}

EngineStats LoadingBackend::stats() const {
  const Backend* const loaded = loaded_;
  return loaded != nullptr ? loaded->stats() : EngineStats();
}

}  // namespace ashlar::serve
