#include "ashlar/cli/serve_config.h"

namespace ashlar::cli {

void ServeConfig::bind(ConfigBinder& b) {
  b.key("host", host, "address to listen at, or unix:/path; 0.0.0.0: every one");
  b.key("port", port, "port to listen at; 0: any free one").between(0, 65535);
  b.key("name", name, "what the model is called; empty: its folder's name");
  b.key("api_keys", api_keys, "keys of which a request must carry one; none: open to all");
  b.key("tls_cert", tls_cert, "PEM file of the certificate: serve https");
  b.key("tls_key", tls_key, "PEM file of its key");
  b.key("allowed_origins", allowed_origins, "web pages that may call; *: all");
  b.key("context", context, "most tokens of prompt and answer; 0: the model's").at_least(0);
  b.choice<DType>("dtype", dtype, {{"f32", DType::kF32}, {"bf16", DType::kBF16}},
                  "what to compute in: f32 or bf16");
  b.choice<DType>("cache_dtype", cache_dtype,
                  {{"f32", DType::kF32}, {"bf16", DType::kBF16}, {"f16", DType::kF16}},
                  "of keys and values: f32, bf16 or f16");
  b.key("cache_bytes", cache_bytes, "memory for keys and values, as in 2G").positive();
  b.key("max_seqs", max_seqs, "sequences computed together").between(1, 4096);
  b.key("max_batched_tokens", max_batched_tokens, "tokens computed in one step").positive();
  b.key("max_waiting", max_waiting, "requests that may queue; more get 429").at_least(0);
  b.choice<SamplingDefaults>(
      "sampling_defaults", sampling_defaults,
      {{"model", SamplingDefaults::kModel}, {"neutral", SamplingDefaults::kNeutral}},
      "sampling where a request names none: the model's generation_config.json, or neutral");
  b.key("max_body_bytes", max_body_bytes, "of one request; more gets 413").positive();
  b.key("max_connections", max_connections, "open at once; more get 503").positive();
  b.key("drain_s", drain_s, "seconds that requests in flight get when the server stops")
      .at_least(0);
  b.key("log_requests", log_requests, "a log line for each request");
}

serve::HttpOptions ServeConfig::http() const {
  serve::HttpOptions options;
  options.host = host;
  options.port = port;
  options.api_keys = api_keys;
  options.tls_cert = tls_cert;
  options.tls_key = tls_key;
  options.allowed_origins = allowed_origins;
  options.handle_signals = true;
  options.log_requests = log_requests;
  options.limits.body_bytes = max_body_bytes;
  options.limits.connections = max_connections;
  options.limits.drain_s = drain_s;
  options.validate();
  return options;
}

}  // namespace ashlar::cli
