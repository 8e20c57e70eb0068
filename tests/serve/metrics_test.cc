#include "ashlar/serve/metrics.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ashlar::serve {
namespace {

bool has_line(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

TEST(ServeMetrics, CountsWhatHappened) {
  Metrics metrics("tiny");
  GenerationRecord record;
  record.usage = {10, 5, 0, 3};
  record.timings = {0.1, 0.2, 0.3};
  record.seconds = 0.7;
  record.n = 2;
  record.max_tokens = 8;
  record.reasons = {FinishReason::kStop, FinishReason::kLength};
  metrics.finished(record);
  metrics.finished(record);
  metrics.aborted();
  metrics.first_token(0.03);
  metrics.between_tokens(0.004);
  metrics.http_request("POST", "/v1/completions", 200, 0.5);
  metrics.http_request("POST", "/v1/completions", 429, 0.5);
  metrics.http_request("BREW", "", 404, 0.1);
  StepTokens steps;
  for (const int64_t tokens : {1, 8, 9, 20'000}) steps.add(tokens);
  const std::string text = metrics.text({.running = 3,
                                         .waiting = 4,
                                         .kv_usage = 0.25,
                                         .prefix_queries = 100,
                                         .prefix_hits = 60,
                                         .preemptions = 2,
                                         .prompt_tokens = 20,
                                         .generation_tokens = 10,
                                         .cache_blocks = 1024,
                                         .block_tokens = 16,
                                         .step_tokens = steps});
  const std::string labels = R"(engine="0",model_name="tiny")";
  const std::vector<std::string> lines = {
      "vllm:num_requests_running{" + labels + "} 3",
      "vllm:num_requests_waiting{" + labels + "} 4",
      "vllm:kv_cache_usage_perc{" + labels + "} 0.25",
      "vllm:prefix_cache_queries_total{" + labels + "} 100",
      "vllm:prefix_cache_hits_total{" + labels + "} 60",
      "vllm:num_preemptions_total{" + labels + "} 2",
      "vllm:prompt_tokens_total{" + labels + "} 20",
      "vllm:generation_tokens_total{" + labels + "} 10",
      R"(vllm:request_success_total{engine="0",finished_reason="stop",model_name="tiny"} 2)",
      R"(vllm:request_success_total{engine="0",finished_reason="length",model_name="tiny"} 2)",
      R"(vllm:request_success_total{engine="0",finished_reason="abort",model_name="tiny"} 1)",
      "vllm:time_to_first_token_seconds_count{" + labels + "} 1",
      "vllm:time_to_first_token_seconds_bucket{" + labels + R"(,le="0.02"} 0)",
      "vllm:time_to_first_token_seconds_bucket{" + labels + R"(,le="0.04"} 1)",
      "vllm:inter_token_latency_seconds_count{" + labels + "} 1",
      "vllm:e2e_request_latency_seconds_count{" + labels + "} 2",
      "vllm:request_queue_time_seconds_count{" + labels + "} 2",
      "vllm:request_inference_time_seconds_sum{" + labels + "} 1",
      R"(vllm:cache_config_info{block_size="16",engine="0",model_name="tiny",num_gpu_blocks="1024"} 1)",
      "vllm:request_params_n_sum{" + labels + "} 4",
      "vllm:request_generation_tokens_sum{" + labels + "} 10",
      "vllm:request_max_num_generation_tokens_sum{" + labels + "} 6",
      "vllm:iteration_tokens_total_bucket{" + labels + R"(,le="1"} 1)",
      "vllm:iteration_tokens_total_bucket{" + labels + R"(,le="8"} 2)",
      "vllm:iteration_tokens_total_bucket{" + labels + R"(,le="16384"} 3)",
      "vllm:iteration_tokens_total_bucket{" + labels + R"(,le="+Inf"} 4)",
      "vllm:iteration_tokens_total_count{" + labels + "} 4",
      "vllm:iteration_tokens_total_sum{" + labels + "} 20018",
      R"(http_requests_total{handler="/v1/completions",method="POST",status="2xx"} 1)",
      R"(http_requests_total{handler="/v1/completions",method="POST",status="4xx"} 1)",
      R"(http_requests_total{handler="none",method="other",status="4xx"} 1)",
  };
  for (const std::string& line : lines) {
    EXPECT_TRUE(has_line(text, line)) << line << "\nis not in\n" << text;
  }
  EXPECT_NE(text.find("# TYPE vllm:num_requests_running gauge"), std::string::npos);
  EXPECT_NE(text.find("# TYPE vllm:prompt_tokens_total counter"), std::string::npos);
  EXPECT_EQ(metrics.text({}).find("cache_config_info"), std::string::npos) << "nothing is loaded";
}

}  // namespace
}  // namespace ashlar::serve
