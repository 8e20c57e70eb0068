#include "ashlar/serve/http/api.h"

#include "ashlar/serve/http/connection.h"
#include "ashlar/serve/http/generation.h"
#include "ashlar/serve/http/waiting_reply.h"
#include "ashlar/serve/protocol/chat.h"
#include "ashlar/serve/protocol/completions.h"
#include "ashlar/serve/protocol/embeddings.h"
#include "ashlar/serve/protocol/status.h"
#include "ashlar/serve/protocol/tokenize.h"

#include <fmt/ranges.h>

#include <utility>

namespace ashlar::serve {
namespace {

constexpr const char* kModels = "/v1/models";

HttpResponse json_response(std::string body) {
  HttpResponse response;
  response.body = std::move(body);
  return response;
}

void health(const ApiParts& parts, Exchange& exchange) {
  const HealthReport report = health_report(parts.backend.health(), parts.backend.stats(),
                                            parts.health_stall_s, parts.draining());
  HttpResponse response = json_response(report.body);
  if (!report.healthy) {
    response.status = 503;
    response.headers.emplace_back("Retry-After", "1");
  }
  exchange.respond(std::move(response));
}

void metrics(const ApiParts& parts, Exchange& exchange) {
  HttpResponse response;
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  response.body = parts.metrics.text(parts.backend.stats());
  exchange.respond(std::move(response));
}

void all_models(const ApiParts& parts, Exchange& exchange) {
  check_ready(parts);
  exchange.respond(json_response(models_body(parts.backend.models())));
}

void one_model(const ApiParts& parts, Exchange& exchange) {
  check_ready(parts);
  const std::string name = exchange.request().path.substr(std::string_view(kModels).size() + 1);
  exchange.respond(json_response(model_body(find_model(parts.backend, name))));
}

void tokenize(const ApiParts& parts, Exchange& exchange) {
  check_ready(parts);
  TokenizeCall call = parse_tokenize(exchange.request().body, rules_for(parts.backend));
  const int64_t context = find_model(parts.backend, call.model).context_length;
  auto reply = wait_for<TokenIds>(exchange, parts.post, [context](const TokenIds& ids) {
    return json_response(tokenize_body(ids, context));
  });
  parts.backend.tokenize(std::move(call.prompt), std::move(reply));
}

void detokenize(const ApiParts& parts, Exchange& exchange) {
  check_ready(parts);
  DetokenizeCall call = parse_detokenize(exchange.request().body, rules_for(parts.backend));
  find_model(parts.backend, call.model);
  auto reply = wait_for<std::string>(exchange, parts.post, [](const std::string& text) {
    return json_response(detokenize_body(text));
  });
  parts.backend.detokenize(std::move(call.ids), std::move(reply));
}

void embeddings(const ApiParts& parts, Exchange& exchange) {
  check_ready(parts);
  if (!parts.backend.can_embed()) {
    throw RequestError({FaultKind::kUnsupported, "this model gives no embeddings", "", 0});
  }
  EmbedCall call = parse_embed(exchange.request().body, rules_for(parts.backend));
  const std::string model = find_model(parts.backend, call.model).id;
  auto reply = wait_for<Embeddings>(exchange, parts.post,
                                    [model, base64 = call.base64](const Embeddings& result) {
                                      return json_response(embeddings_body(result, model, base64));
                                    });
  parts.backend.embed(std::move(call.request), std::move(reply));
}

}  // namespace

ModelInfo find_model(const Backend& backend, const std::string& name) {
  std::vector<std::string> names;
  for (ModelInfo& model : backend.models()) {
    if (name.empty() || model.id == name) return std::move(model);
    names.push_back("'" + model.id + "'");
  }
  throw RequestError({FaultKind::kModelNotFound,
                      fmt::format("the model '{}' does not exist here; there is {}",
                                  shortened(name), fmt::join(names, ", ")),
                      "model", 0});
}

RequestRules rules_for(const Backend& backend) {
  const ModelInfo model = backend.models().front();
  RequestRules rules;
  rules.defaults = model.defaults;
  rules.vocab_size = model.vocab_size;
  return rules;
}

void check_ready(const ApiParts& parts) {
  if (parts.draining()) {
    throw RequestError({FaultKind::kShuttingDown, "the server is shutting down", "", 1});
  }
  const Health health = parts.backend.health();
  if (!health.live) {
    throw RequestError({FaultKind::kInternal, "the engine is dead: " + health.problem, "", 0});
  }
  if (!health.ready) {
    throw RequestError(
        {FaultKind::kNotReady,
         fmt::format("the model is loading ({}, {:.0f}%)", health.stage, health.fraction * 100), "",
         1});
  }
}

void add_api_routes(Router& router, ApiParts api) {
  const auto parts = std::make_shared<const ApiParts>(std::move(api));
  using Function = void (*)(const ApiParts&, Exchange&);
  const auto add = [&](const char* method, const char* path, Function function,
                       bool needs_key = true) {
    router.add({method, path, [parts, function](Exchange& exchange) { function(*parts, exchange); },
                needs_key});
  };
  add("GET", "/health", health, false);
  add("GET", "/metrics", metrics);
  add("GET", "/version",
      [](const ApiParts&, Exchange& exchange) { exchange.respond(json_response(version_body())); });
  add("GET", kModels, all_models);
  add("GET", "/v1/models/", one_model);
  add("POST", "/v1/completions", [](const ApiParts& p, Exchange& exchange) {
    check_ready(p);
    start_generation(p, exchange, parse_completion(exchange.request().body, rules_for(p.backend)));
  });
  add("POST", "/v1/chat/completions", [](const ApiParts& p, Exchange& exchange) {
    check_ready(p);
    start_generation(p, exchange, parse_chat(exchange.request().body, rules_for(p.backend)));
  });
  add("POST", "/v1/embeddings", embeddings);
  add("POST", "/tokenize", tokenize);
  add("POST", "/detokenize", detokenize);
}

}  // namespace ashlar::serve
