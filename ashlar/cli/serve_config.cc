#include "ashlar/cli/serve_config.h"

#include "ashlar/base/error.h"
#include "ashlar/generate/kv_pool.h"

namespace ashlar::cli {

void ServeConfig::bind(ConfigBinder& b) {
  b.key("host", host, "address to listen at, or unix:/path; 0.0.0.0: every one");
  b.key("port", port, "port to listen at; 0: any free one").between(0, 65535);
  b.key("served_model_name", served_model_name, "what it is called; empty: its folder's name")
      .also("name")
      .also("alias");
  b.key("api_key", api_key, "keys of which a request must carry one; none: open to all")
      .secret()
      .also("api_keys");
  b.key("ssl_certfile", ssl_certfile, "PEM file of the certificate: serve https")
      .also("ssl_cert_file")
      .also("tls_cert");
  b.key("ssl_keyfile", ssl_keyfile, "PEM file of its key").also("ssl_key_file").also("tls_key");
  b.key("allowed_origins", allowed_origins, "web pages that may call; *: all");

  b.key("max_model_len", max_model_len, "most tokens of prompt and answer; 0: the model's")
      .at_least(0)
      .also("context")
      .also("ctx_size");
  b.choice<std::optional<DType>>("dtype", dtype,
                                 {{"auto", std::nullopt},
                                  {"f32", DType::kF32},
                                  {"bf16", DType::kBF16},
                                  {"float32", DType::kF32},
                                  {"f16", DType::kF16},
                                  {"bfloat16", DType::kBF16},
                                  {"float16", DType::kF16},
                                  {"q8_0", DType::kQ8_0},
                                  {"q4_0", DType::kQ4_0},
                                  {"q4_k", DType::kQ4K},
                                  {"q6_k", DType::kQ6K}},
                                 "of the weights; auto: the file's own");
  b.choice<std::optional<DType>>("kv_cache_dtype", kv_cache_dtype,
                                 {{"auto", std::nullopt},
                                  {"f32", DType::kF32},
                                  {"bf16", DType::kBF16},
                                  {"f16", DType::kF16},
                                  {"float32", DType::kF32},
                                  {"bfloat16", DType::kBF16},
                                  {"float16", DType::kF16}},
                                 "of keys and values; auto: f16 for GGUF files and beside f16 and "
                                 "blocks, else as dtype, f32 without one")
      .also("cache_dtype");
  block_size = generate::kBlockTokens;
  b.key("block_size", block_size, "tokens of a cache block: the kernels want this many");
  b.key("max_num_seqs", max_num_seqs, "sequences computed together")
      .between(1, 4096)
      .also("max_seqs")
      .also("parallel");
  b.key("max_num_batched_tokens", max_num_batched_tokens, "tokens computed in one step")
      .positive()
      .also("max_batched_tokens")
      .also("batch_size");
  b.key("max_num_queued_reqs", max_num_queued_reqs, "requests that may queue; more get 429")
      .positive()
      .also("max_waiting");
  b.key("memory", memory, "bytes for everything, as in 48G; 0: a part of what is free").at_least(0);
  b.key("memory_utilization", memory_utilization, "that part")
      .between(0.01, 1)
      .also("gpu_memory_utilization");
  b.key("kv_cache_memory_bytes", kv_cache_memory_bytes,
        "bytes for keys and values; 0: what weights and work leave of the memory")
      .at_least(0)
      .also("cache_bytes");

  b.key("chat_template", chat_template, "file of a Jinja template; empty: the model's")
      .also("chat_template_file");
  b.choice<SamplingDefaults>(
      "sampling_defaults", sampling_defaults,
      {{"model", SamplingDefaults::kModel}, {"neutral", SamplingDefaults::kNeutral}},
      "sampling where a request names none: the model's generation_config.json, or neutral");
  b.key("seed", seed, "of requests that name none; unset: a fresh one for each");

  b.key("max_body_bytes", max_body_bytes, "of one request; more gets 413").positive();
  b.key("max_connections", max_connections, "open at once; more get 503").positive();
  b.key("shutdown_timeout", shutdown_timeout,
        "seconds that requests in flight get when the server stops")
      .positive()
      .also("drain_s");
  b.key("log_requests", log_requests, "a log line for each request");
}

void ServeConfig::validate() const {
  if (block_size != generate::kBlockTokens) {
    fail_usage("config block_size: {} is not {}; blocks of the cache hold {} tokens", block_size,
               generate::kBlockTokens, generate::kBlockTokens);
  }
  if (max_num_batched_tokens < max_num_seqs) {
    fail_usage(
        "config max_num_batched_tokens: {} is less than max_num_seqs = {}; a step computes a token "
        "of each sequence, so give at least that many",
        max_num_batched_tokens, max_num_seqs);
  }
  http();
}

serve::HttpOptions ServeConfig::http() const {
  serve::HttpOptions options;
  options.host = host;
  options.port = port;
  options.api_keys = api_key;
  options.tls_cert = ssl_certfile;
  options.tls_key = ssl_keyfile;
  options.allowed_origins = allowed_origins;
  options.handle_signals = true;
  options.log_requests = log_requests;
  options.limits.body_bytes = max_body_bytes;
  options.limits.connections = max_connections;
  options.limits.drain_s = shutdown_timeout;
  options.validate();
  return options;
}

serve::SchedulerLimits ServeConfig::scheduler() const {
  serve::SchedulerLimits limits;
  limits.max_batched_tokens = max_num_batched_tokens;
  limits.max_seqs = max_num_seqs;
  limits.max_outputs = 2 * max_num_seqs;  // the other half scores echoed prompts
  limits.max_waiting = max_num_queued_reqs;
  return limits;
}

}  // namespace ashlar::cli
