// The settings of `ashlar serve`: one list of keys for the configuration file, the environment
// (ASHLAR_SERVE_PORT) and the flags (--port). Names are vLLM's where it has the setting; those of
// other servers are accepted too.
#pragma once

#include "ashlar/base/config.h"
#include "ashlar/generate/open_model.h"
#include "ashlar/serve/http/options.h"
#include "ashlar/serve/policy/scheduler.h"
#include "ashlar/tensor/dtype.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ashlar::cli {

// Whose sampling defaults a request gets that names none.
enum class SamplingDefaults : uint8_t { kModel, kNeutral };

struct ServeConfig {
  std::string host = "127.0.0.1";
  int port = 8000;
  std::string served_model_name;  // empty: the folder's name
  std::vector<std::string> api_key;
  std::string ssl_certfile, ssl_keyfile;
  std::vector<std::string> allowed_origins = serve::HttpOptions().allowed_origins;

  int64_t max_model_len = 0;            // 0: the model's
  std::optional<DType> dtype;           // none: a GGUF file's own, else f32
  std::optional<DType> kv_cache_dtype;  // none: goes by dtype
  int64_t block_size = 0;               // set by bind()
  int64_t max_num_seqs = 64;
  int64_t max_num_batched_tokens = 512;
  int64_t max_num_queued_reqs = 1024;
  int64_t memory = 0;  // 0: memory_utilization of what is free
  double memory_utilization = 0.9;
  int64_t kv_cache_memory_bytes = 0;  // 0: what is left of the memory

  std::string chat_template;  // a file; empty: the model's
  SamplingDefaults sampling_defaults = SamplingDefaults::kModel;
  std::optional<int64_t> seed;

  int64_t max_body_bytes = serve::HttpLimits().body_bytes;
  int64_t max_connections = serve::HttpLimits().connections;
  double shutdown_timeout = serve::HttpLimits().drain_s;
  bool log_requests = true;

  void bind(ConfigBinder& b);
  // What no single key shows. Throws UsageError.
  void validate() const;

  serve::HttpOptions http() const;
  serve::SchedulerLimits scheduler() const;
};

}  // namespace ashlar::cli
