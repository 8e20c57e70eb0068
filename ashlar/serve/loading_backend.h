// Stands where an engine will be while its model loads: says how far that is and refuses
// everything, then passes everything on.
#pragma once

#include "ashlar/serve/backend.h"

#include <atomic>
#include <mutex>
#include <string>
#include <string_view>

namespace ashlar::serve {

class LoadingBackend : public Backend {
 public:
  // id: of the model, all that is known of it yet.
  explicit LoadingBackend(const std::string& id) { known_.id = id; }

  // From the thread that loads.
  void show(std::string_view stage, double fraction);
  // From now on `loaded` answers; it outlives the server.
  void finish(Backend& loaded) { loaded_ = &loaded; }

  RequestId submit(GenerateRequest request, std::shared_ptr<EventSink> sink) override;
  void cancel(RequestId id) override;
  void tokenize(Prompt prompt, Reply<TokenIds> reply) override;
  void detokenize(TokenIds ids, Reply<std::string> reply) override;
  bool can_embed() const override;
  void embed(EmbedRequest request, Reply<Embeddings> reply) override;
  std::vector<ModelInfo> models() const override;
  Health health() const override;
  EngineStats stats() const override;

 private:
  Backend& need() const;  // throws RequestError (kNotReady)

  ModelInfo known_;
  std::atomic<Backend*> loaded_{nullptr};
  mutable std::mutex mutex_;
  std::string stage_ = "opening the model";  // guarded by mutex_, as is:
  double fraction_ = 0;
};

}  // namespace ashlar::serve
