#include "ashlar/serve/protocol/embeddings.h"

#include "ashlar/base/base64.h"
#include "ashlar/serve/protocol/prompts.h"
#include "ashlar/serve/protocol/refused.h"

#include <bit>
#include <utility>

namespace ashlar::serve {
namespace {

std::string base64_floats(const std::vector<float>& values) {
  static_assert(std::endian::native == std::endian::little);
  return to_base64({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)});
}

JsonValue vector_value(const std::vector<float>& vector, bool base64) {
  if (base64) return base64_floats(vector);
  return JsonArray(vector.begin(), vector.end());
}

}  // namespace

EmbedCall parse_embed(std::string_view text, const RequestRules& rules) {
  constexpr int64_t kMostDimensions = 1 << 20;
  const JsonValue value = parse_json(text, rules.json);
  const Fields body(value);
  EmbedCall call;
  call.model = body.string("model").value_or("");
  call.request.inputs = read_prompts(body, "input", rules);
  call.request.dimensions = body.integer("dimensions", 1, kMostDimensions);
  const std::string format = body.string("encoding_format").value_or("float");
  if (format != "float" && format != "base64") {
    body.refuse("encoding_format", "\"float\" or \"base64\"");
  }
  call.base64 = format == "base64";
  refuse_unknown_fields(body);
  return call;
}

std::string embeddings_body(const Embeddings& embeddings, const std::string& model, bool base64) {
  JsonArray data;
  for (size_t i = 0; i < embeddings.vectors.size(); ++i) {
    data.emplace_back(JsonObject{{"object", "embedding"},
                                 {"index", i},
                                 {"embedding", vector_value(embeddings.vectors[i], base64)}});
  }
  const JsonObject usage{{"prompt_tokens", embeddings.prompt_tokens},
                         {"total_tokens", embeddings.prompt_tokens}};
  return to_text(JsonObject{
      {"object", "list"}, {"data", std::move(data)}, {"model", model}, {"usage", usage}});
}

}  // namespace ashlar::serve
