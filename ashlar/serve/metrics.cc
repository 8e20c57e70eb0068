#include "ashlar/serve/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <initializer_list>
#include <map>
#include <sstream>

namespace ashlar::serve {
namespace {

using Buckets = prometheus::Histogram::BucketBoundaries;
using prometheus::Labels;
using prometheus::MetricFamily;
using prometheus::MetricType;

const Buckets kFirstToken = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75,
                             1,     2.5,   5,    7.5,  10,   20,   40,   80,  160,  640, 2560};
const Buckets kTokenGap = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3,
                           0.4,   0.5,    0.75,  1,    2.5,   5,    7.5,   10,  20,   40,  80};
const Buckets kRequest = {0.01, 0.05, 0.1, 0.3, 0.5, 0.8, 1,   1.5, 2,   2.5, 5,    10,
                          15,   20,   30,  40,  50,  60,  120, 240, 480, 960, 1920, 7680};
const Buckets kTokens = {1,   2,    5,    10,   20,    50,    100,   200,
                         500, 1000, 2000, 5000, 10000, 20000, 50000, 100000};
const Buckets kSamples = {1, 2, 5, 10, 20};

MetricFamily engine_metric(const char* name, const char* help, MetricType type, double value,
                           const Labels& labels) {
  prometheus::ClientMetric metric;
  for (const auto& [key, text] : labels) metric.label.push_back({key, text});
  (type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
  return {name, help, type, {metric}};
}

MetricFamily steps_metric(const StepTokens& steps, const Labels& labels) {
  MetricFamily family = engine_metric("vllm:iteration_tokens_total", "Tokens of an engine step.",
                                      MetricType::Histogram, 0, labels);
  prometheus::ClientMetric::Histogram& histogram = family.metric[0].histogram;
  for (size_t i = 0; i < steps.steps.size(); ++i) {
    histogram.sample_count += static_cast<uint64_t>(steps.steps[i]);
    if (i == StepTokens::kAtMost.size()) break;
    histogram.bucket.push_back(
        {histogram.sample_count, static_cast<double>(StepTokens::kAtMost[i])});
  }
  histogram.sample_sum = static_cast<double>(steps.tokens);
  return family;
}

const char* reason_name(FinishReason reason) {
  return reason == FinishReason::kStop ? "stop" : "length";
}

// Any method at all may come from outside; a label may not take any value.
std::string method_label(std::string_view method) {
  for (const char* known : {"GET", "HEAD", "POST", "OPTIONS"}) {
    if (method == known) return known;
  }
  return "other";
}

}  // namespace

struct Metrics::Impl {
  explicit Impl(const std::string& model) : labels{{"model_name", model}, {"engine", "0"}} {
    for (const char* reason : {"stop", "length", "abort", "error"}) success_of(reason);
  }

  prometheus::Histogram& histogram(const char* name, const char* help, const Buckets& buckets) {
    return prometheus::BuildHistogram().Name(name).Help(help).Register(registry).Add(labels,
                                                                                     buckets);
  }

  prometheus::Counter& success_of(const char* reason) {
    Labels full = labels;
    full["finished_reason"] = reason;
    return success.Add(full);
  }

  prometheus::Registry registry;
  const Labels labels;

  prometheus::Family<prometheus::Counter>& success = prometheus::BuildCounter()
                                                         .Name("vllm:request_success_total")
                                                         .Help("Choices ended, by reason.")
                                                         .Register(registry);
  prometheus::Histogram& first_token =
      histogram("vllm:time_to_first_token_seconds", "From request to first token.", kFirstToken);
  prometheus::Histogram& token_gap =
      histogram("vllm:inter_token_latency_seconds", "Between tokens of a choice.", kTokenGap);
  prometheus::Histogram& request =
      histogram("vllm:e2e_request_latency_seconds", "From request to its end.", kRequest);
  prometheus::Histogram& queue =
      histogram("vllm:request_queue_time_seconds", "Waiting to be scheduled.", kRequest);
  prometheus::Histogram& prefill =
      histogram("vllm:request_prefill_time_seconds", "Processing the prompt.", kRequest);
  prometheus::Histogram& decode =
      histogram("vllm:request_decode_time_seconds", "Generating.", kRequest);
  prometheus::Histogram& inference =
      histogram("vllm:request_inference_time_seconds", "Prefill and decode.", kRequest);
  prometheus::Histogram& request_prompt =
      histogram("vllm:request_prompt_tokens", "Prompt tokens of a request.", kTokens);
  prometheus::Histogram& request_generation =
      histogram("vllm:request_generation_tokens", "Generated tokens of a request.", kTokens);
  prometheus::Histogram& longest_generation =
      histogram("vllm:request_max_num_generation_tokens",
                "Generated tokens of a request's longest choice.", kTokens);
  prometheus::Histogram& request_n =
      histogram("vllm:request_params_n", "The parameter n of a request.", kSamples);
  prometheus::Histogram& request_max_tokens =
      histogram("vllm:request_params_max_tokens", "The parameter max_tokens.", kTokens);

  prometheus::Family<prometheus::Counter>& http =
      prometheus::BuildCounter()
          .Name("http_requests_total")
          .Help("HTTP requests, by method, status class and route.")
          .Register(registry);
  prometheus::Family<prometheus::Histogram>& http_seconds =
      prometheus::BuildHistogram()
          .Name("http_request_duration_seconds")
          .Help("From a request's header to the last byte of its answer.")
          .Register(registry);
};

Metrics::Metrics(const std::string& model_name) : impl_(std::make_unique<Impl>(model_name)) {}
Metrics::~Metrics() = default;

void Metrics::http_request(std::string_view method, std::string_view route, int status,
                           double seconds) {
  const std::string handler = route.empty() ? "none" : std::string(route);
  const std::string verb = method_label(method);
  constexpr int kClass = 100;
  impl_->http
      .Add({{"handler", handler},
            {"method", verb},
            {"status", fmt::format("{}xx", status / kClass)}})
      .Increment();
  impl_->http_seconds.Add({{"handler", handler}, {"method", verb}}, kRequest).Observe(seconds);
}

void Metrics::first_token(double seconds) { impl_->first_token.Observe(seconds); }
void Metrics::between_tokens(double seconds) { impl_->token_gap.Observe(seconds); }

void Metrics::finished(const GenerationRecord& record) {
  impl_->request.Observe(record.seconds);
  impl_->queue.Observe(record.timings.queue_s);
  impl_->prefill.Observe(record.timings.prefill_s);
  impl_->decode.Observe(record.timings.decode_s);
  impl_->inference.Observe(record.timings.prefill_s + record.timings.decode_s);
  impl_->request_prompt.Observe(static_cast<double>(record.usage.prompt_tokens));
  impl_->request_generation.Observe(static_cast<double>(record.usage.completion_tokens));
  impl_->longest_generation.Observe(static_cast<double>(record.usage.longest_completion));
  impl_->request_n.Observe(record.n);
  if (record.max_tokens) {
    impl_->request_max_tokens.Observe(static_cast<double>(*record.max_tokens));
  }
  for (const FinishReason reason : record.reasons) {
    impl_->success_of(reason_name(reason)).Increment();
  }
}

void Metrics::aborted() { impl_->success_of("abort").Increment(); }
void Metrics::failed() { impl_->success_of("error").Increment(); }

std::string Metrics::text(const EngineStats& stats) const {
  std::vector<MetricFamily> families = impl_->registry.Collect();
  const auto add = [&](const char* name, const char* help, MetricType type, auto value) {
    families.push_back(engine_metric(name, help, type, static_cast<double>(value), impl_->labels));
  };
  add("vllm:num_requests_running", "Sequences being computed.", MetricType::Gauge, stats.running);
  add("vllm:num_requests_waiting", "Sequences that wait.", MetricType::Gauge, stats.waiting);
  add("vllm:kv_cache_usage_perc", "KV cache in use; 1 is full.", MetricType::Gauge, stats.kv_usage);
  add("vllm:prefix_cache_queries_total", "Tokens looked up in the prefix cache.",
      MetricType::Counter, stats.prefix_queries);
  add("vllm:prefix_cache_hits_total", "Tokens found in the prefix cache.", MetricType::Counter,
      stats.prefix_hits);
  add("vllm:num_preemptions_total", "Sequences put back to make room.", MetricType::Counter,
      stats.preemptions);
  add("vllm:prompt_tokens_total", "Tokens of prompts begun.", MetricType::Counter,
      stats.prompt_tokens);
  add("vllm:generation_tokens_total", "Tokens generated.", MetricType::Counter,
      stats.generation_tokens);
  families.push_back(steps_metric(stats.step_tokens, impl_->labels));
  if (stats.cache_blocks > 0) {
    Labels about = impl_->labels;
    about["block_size"] = fmt::to_string(stats.block_tokens);
    about["num_gpu_blocks"] = fmt::to_string(stats.cache_blocks);  // vLLM's name, on any device
    families.push_back(engine_metric("vllm:cache_config_info", "What the KV cache is made of.",
                                     MetricType::Gauge, 1, about));
  }
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, families);
  return out.str();
}

}  // namespace ashlar::serve
