// The settings of `ashlar serve`: one list of keys for the configuration file, the environment
// (ASHLAR_SERVE_PORT) and the flags (--port).
#pragma once

#include "ashlar/base/config.h"
#include "ashlar/serve/http/options.h"
#include "ashlar/tensor/dtype.h"

#include <cstdint>
#include <string>
#include <vector>

namespace ashlar::cli {

// Whose sampling defaults a request gets that names none.
enum class SamplingDefaults : uint8_t { kModel, kNeutral };

struct ServeConfig {
  std::string host = "127.0.0.1";
  int port = 8000;
  std::string name;  // empty: the folder's name
  std::vector<std::string> api_keys;
  std::string tls_cert, tls_key;
  std::vector<std::string> allowed_origins = serve::HttpOptions().allowed_origins;

  int64_t context = 0;  // 0: the model's
  DType dtype = DType::kF32, cache_dtype = DType::kF32;
  int64_t cache_bytes = int64_t{2} << 30;
  int64_t max_seqs = 64;
  int64_t max_batched_tokens = 512;
  int64_t max_waiting = 1024;
  SamplingDefaults sampling_defaults = SamplingDefaults::kModel;

  int64_t max_body_bytes = serve::HttpLimits().body_bytes;
  int64_t max_connections = serve::HttpLimits().connections;
  double drain_s = serve::HttpLimits().drain_s;
  bool log_requests = true;

  void bind(ConfigBinder& b);
  serve::HttpOptions http() const;
};

}  // namespace ashlar::cli
