#include "ashlar/bundle/gguf_families.h"

#include "ashlar/base/error.h"
#include "ashlar/bundle/gguf_encoder.h"
#include "ashlar/bundle/gguf_latent.h"
#include "ashlar/models/family.h"

#include <fmt/ranges.h>

#include <cmath>
#include <set>
#include <vector>

namespace ashlar::bundle {
namespace {

using formats::GgufMetadata;
using Kind = GgufKey::Kind;

// ---------------------------------------------------------------- names of sizes in config.json
constexpr GgufSizes kLayerNormSizes{.norm_eps = "layer_norm_eps"};
constexpr GgufSizes kNeoxSizes{.kv_heads = "", .head_dim = "", .norm_eps = "layer_norm_eps"};
constexpr GgufSizes kStarcoderSizes{.norm_eps = "norm_epsilon"};
constexpr GgufSizes kLatentSizes{.kv_heads = "", .head_dim = ""};
constexpr GgufSizes kGpt2Sizes{.context = "n_positions",
                               .width = "n_embd",
                               .layers = "n_layer",
                               .ffn = "n_inner",
                               .heads = "n_head",
                               .kv_heads = "",
                               .head_dim = "",
                               .norm_eps = "layer_norm_epsilon"};
constexpr GgufSizes kBloomSizes{.context = "seq_length",
                                .layers = "n_layer",
                                .ffn = "n_inner",
                                .heads = "n_head",
                                .kv_heads = "",
                                .head_dim = "",
                                .norm_eps = "layer_norm_epsilon"};
constexpr GgufSizes kFalconSizes{.ffn = "ffn_hidden_size",
                                 .kv_heads = "num_kv_heads",
                                 .head_dim = "",
                                 .norm_eps = "layer_norm_epsilon"};

// ---------------------------------------------------------------- keys
constexpr GgufKey kMixtralKeys[] = {
    {"expert_count", "num_local_experts"},
    {"expert_used_count", "num_experts_per_tok"},
};
constexpr GgufKey kQwenExpertKeys[] = {
    {"expert_count", "num_experts"},
    {"expert_used_count", "num_experts_per_tok"},
    {"expert_feed_forward_length", "moe_intermediate_size"},
    {"expert_shared_feed_forward_length", "shared_expert_intermediate_size"},
};
constexpr GgufKey kNeoxKeys[] = {
    {"use_parallel_residual", "use_parallel_residual", Kind::kFlag},
};
constexpr GgufKey kGraniteKeys[] = {
    {"embedding_scale", "embedding_multiplier", Kind::kReal},
    {"residual_scale", "residual_multiplier", Kind::kReal},
    {"attention.scale", "attention_multiplier", Kind::kReal},
    {"logit_scale", "logits_scaling", Kind::kReal},
};
constexpr GgufKey kCohereKeys[] = {{"logit_scale", "logit_scale", Kind::kReal, "1.0"}};
constexpr GgufKey kGemma2Keys[] = {
    {"attn_logit_softcapping", "attn_logit_softcapping", Kind::kReal},
    {"final_logit_softcapping", "final_logit_softcapping", Kind::kReal},
};
constexpr GgufKey kGemma3Keys[] = {
    {"final_logit_softcapping", "final_logit_softcapping", Kind::kReal, "null"},
    {"rope.freq_base_swa", "rope_local_base_freq", Kind::kReal, "10000.0"},
};

constexpr GgufPresence kLlamaBiases[] = {{"blk.0.attn_q.bias", "attention_bias"},
                                         {"blk.0.ffn_gate.bias", "mlp_bias"}};
constexpr GgufPresence kStablelmParts[] = {
    {"blk.0.attn_q.bias", "use_qkv_bias"},
    {"blk.0.attn_q_norm.weight", "qk_layernorm"},
    {"blk.0.ffn_norm.weight", "use_parallel_residual", false}};
// Its converter writes what it does not know; the norm's tensor says it.
constexpr std::string_view kStablelmOthers[] = {"use_parallel_residual"};
constexpr GgufPresence kCohereParts[] = {{"blk.0.attn_q_norm.weight", "use_qk_norm"}};
constexpr GgufPresence kQwen2MoeBiases[] = {{"blk.0.attn_q.bias", "qkv_bias"}};

// ---------------------------------------------------------------- windows
constexpr GgufWindows kOneWindow{.any = true};
constexpr GgufWindows kSwitchedWindow{.any = true, .switched = true};
constexpr GgufWindows kTypedWindows{.any = true, .switched = true, .typed = true};
constexpr GgufWindows kGemma2Windows{
    .any = true, .typed = true, .period = 2, .absent = 4096, .honoured = true};
constexpr GgufWindows kGemma3Windows{.any = true, .typed = true, .period = 6, .honoured = true};

// ---------------------------------------------------------------- what tables do not say
bool has_experts(const GgufMetadata& metadata) {
  return metadata.integer("llama.expert_count", 0) > 0;
}
bool has_window(const GgufMetadata& metadata) {
  return metadata.integer("llama.attention.sliding_window", 0) > 0;
}

int64_t head_dim(const GgufFacts& facts, const std::string& prefix) {
  const GgufMetadata& keys = facts.metadata;
  const int64_t heads = std::max<int64_t>(keys.uniform(prefix + "attention.head_count"), 1);
  return keys.integer(prefix + "attention.key_length",
                      keys.integer(prefix + "embedding_length") / heads);
}

// Granite's config.json means 1 where it does not say.
ConfigKeys read_granite(const GgufFacts& facts, const std::string& prefix) {
  if (facts.metadata.contains(prefix + "attention.scale")) return {};
  const auto channels = static_cast<double>(head_dim(facts, prefix));
  ASHLAR_CHECK(channels >= 1, "{}: {}attention.key_length makes heads of size {}, wanted 1 or more",
               facts.metadata.where(), prefix, channels);
  return {{"attention_multiplier", json_number(1 / std::sqrt(channels))}};
}

// Gemma's largest models scale scores by the width of a head as others have it.
ConfigKeys read_gemma(const GgufFacts& facts, const std::string& prefix, int64_t largest) {
  const GgufMetadata& keys = facts.metadata;
  const bool square = keys.integer(prefix + "block_count") == largest;
  const int64_t heads = std::max<int64_t>(keys.uniform(prefix + "attention.head_count"), 1);
  const int64_t scalar =
      square ? keys.integer(prefix + "embedding_length") / heads : head_dim(facts, prefix);
  return {{"query_pre_attn_scalar", std::to_string(scalar)}};
}
ConfigKeys read_gemma2(const GgufFacts& facts, const std::string& prefix) {
  return read_gemma(facts, prefix, 46);
}
ConfigKeys read_gemma3(const GgufFacts& facts, const std::string& prefix) {
  return read_gemma(facts, prefix, 62);
}

// The second generation has a norm for each branch, or a number of key-value heads that the first
// cannot have.
ConfigKeys read_falcon(const GgufFacts& facts, const std::string& prefix) {
  const int64_t heads = facts.metadata.uniform(prefix + "attention.head_count");
  const int64_t kv_heads = facts.metadata.uniform(prefix + "attention.head_count_kv", heads);
  const bool two = facts.has("blk.0.attn_norm_2.weight");
  const bool second = two || (kv_heads != 1 && kv_heads != heads);
  ConfigKeys keys{{"new_decoder_architecture", second ? "true" : "false"},
                  {"multi_query", kv_heads == 1 ? "true" : "false"}};
  if (second) keys.emplace_back("num_ln_in_parallel_attn", two ? "2" : "1");
  return keys;
}
void write_falcon(const models::DecoderConfig&, const std::string& prefix, GgufMetadata& metadata) {
  metadata.set(prefix + "tensor_data_layout", "jploski");  // q, k and v one after the other
}

// llama.cpp looks for norms of queries and keys by the number of layers.
void write_cohere(const models::DecoderConfig& config, const std::string&, GgufMetadata&) {
  const bool norms = config.qk_norm != models::QkNorm::kNone, many = config.layers >= 64;
  ASHLAR_CHECK(norms == many,
               "gguf: architecture command-r has norms of queries and keys in models of 64 layers "
               "or more and in no others; this one has {} layers and {}",
               config.layers, norms ? "norms" : "none");
}

// Old files leave widths of experts to their tensors.
ConfigKeys read_expert_widths(const GgufFacts& facts, const std::string& prefix) {
  ConfigKeys keys;
  const auto add = [&](const char* key, const char* config, const char* tensor, int dim) {
    const formats::TensorSpec* const found = facts.tensor(tensor);
    if (facts.metadata.contains(prefix + key) || found == nullptr || found->shape.rank() <= dim) {
      return;
    }
    keys.emplace_back(config, std::to_string(found->shape[dim]));
  };
  add("expert_feed_forward_length", "moe_intermediate_size", "blk.0.ffn_gate_exps.weight", 1);
  add("expert_shared_feed_forward_length", "shared_expert_intermediate_size",
      "blk.0.ffn_gate_shexp.weight", 0);
  return keys;
}
ConfigKeys read_qwen3_moe(const GgufFacts& facts, const std::string& prefix) {
  ConfigKeys keys = read_expert_widths(facts, prefix);
  keys.emplace_back("norm_topk_prob", "true");
  return keys;
}

// ---------------------------------------------------------------- the families
constexpr GgufFamily kFamilies[] = {
    {.architecture = "llama",
     .model_type = "mixtral",
     .keys = kMixtralKeys,
     .matches = has_experts,
     .windows = kOneWindow,
     .paired_rotary = true,
     .llama3_rope = true,
     .long_rope = true},
    {.architecture = "llama",
     .model_type = "mistral",
     .matches = has_window,
     .windows = kOneWindow,
     .paired_rotary = true,
     .llama3_rope = true,
     .long_rope = true},
    {.architecture = "llama",
     .model_type = "llama",
     .presences = kLlamaBiases,
     .paired_rotary = true,
     .llama3_rope = true,
     .long_rope = true},
    {.architecture = "granite",
     .model_type = "granite",
     .keys = kGraniteKeys,
     .presences = kLlamaBiases,
     .paired_rotary = true,
     .llama3_rope = true,
     .long_rope = true,
     .read = read_granite},
    {.architecture = "gpt2",
     .model_type = "gpt2",
     .sizes = kGpt2Sizes,
     .merged_qkv = true,
     .square = true},
    {.architecture = "gptneox",
     .model_type = "gpt_neox",
     .sizes = kNeoxSizes,
     .keys = kNeoxKeys,
     .partial_rotary = true,
     .merged_qkv = true,
     .square = true,
     .head_required = true},
    {.architecture = "bloom",
     .model_type = "bloom",
     .sizes = kBloomSizes,
     .merged_qkv = true,
     .square = true},
    {.architecture = "falcon",
     .model_type = "falcon",
     .sizes = kFalconSizes,
     .merged_qkv = true,
     .square = true,
     .read = read_falcon,
     .write = write_falcon},
    {.architecture = "phi2",
     .model_type = "phi",
     .sizes = kLayerNormSizes,
     .partial_rotary = true,
     .square = true,
     .head_required = true},
    {.architecture = "phi3",
     .model_type = "phi3",
     .windows = kOneWindow,
     .partial_rotary = true,
     .long_rope = true,
     .merged_qkv = true,
     .merged_gate = true,
     .square = true},
    {.architecture = "stablelm",
     .model_type = "stablelm",
     .sizes = kLayerNormSizes,
     .presences = kStablelmParts,
     .others = kStablelmOthers,
     .partial_rotary = true,
     .square = true,
     .head_required = true},
    {.architecture = "starcoder2",
     .model_type = "starcoder2",
     .sizes = kStarcoderSizes,
     .windows = kOneWindow,
     .square = true},
    {.architecture = "command-r",
     .model_type = "cohere",
     .sizes = kLayerNormSizes,
     .keys = kCohereKeys,
     .presences = kCohereParts,
     .square = true,
     .head_tied = true,
     .write = write_cohere},
    {.architecture = "olmo2", .model_type = "olmo2", .square = true, .head_required = true},
    {.architecture = "qwen2", .model_type = "qwen2", .windows = kTypedWindows, .square = true},
    {.architecture = "qwen3", .model_type = "qwen3", .windows = kTypedWindows},
    {.architecture = "qwen2moe",
     .model_type = "qwen2_moe",
     .keys = kQwenExpertKeys,
     .presences = kQwen2MoeBiases,
     .windows = kTypedWindows,
     .square = true,
     .head_required = true,
     .read = read_expert_widths},
    {.architecture = "qwen3moe",
     .model_type = "qwen3_moe",
     .keys = std::span(kQwenExpertKeys).first<3>(),
     .windows = kSwitchedWindow,
     .read = read_qwen3_moe},
    {.architecture = "gemma", .model_type = "gemma", .head_tied = true, .norm_added = 1},
    {.architecture = "gemma2",
     .model_type = "gemma2",
     .keys = kGemma2Keys,
     .windows = kGemma2Windows,
     .head_tied = true,
     .norm_added = 1,
     .read = read_gemma2},
    {.architecture = "gemma3",
     .model_type = "gemma3_text",
     .keys = kGemma3Keys,
     .windows = kGemma3Windows,
     .norm_added = 1,
     .read = read_gemma3},
    {.architecture = "deepseek2",
     .model_type = "deepseek_v3",
     .sizes = kLatentSizes,
     .keys = kLatentV3Keys,
     .others = kLatentOthers,
     .matches = routes_by_sigmoids,
     .read = read_latent_v3,
     .write = write_latent},
    {.architecture = "deepseek2",
     .model_type = "deepseek_v2",
     .sizes = kLatentSizes,
     .keys = kLatentV2Keys,
     .others = kLatentOthers,
     .read = read_latent_v2,
     .write = write_latent},
};

}  // namespace

std::string json_number(double value) {
  const std::string text = fmt::format("{}", static_cast<float>(value));
  // Of integers JSON keeps that they are real.
  return text.find_first_of(".en") == std::string::npos ? text + ".0" : text;
}

std::span<const GgufFamily> gguf_families() { return kFamilies; }

const GgufFamily& gguf_family(const GgufMetadata& metadata) {
  const std::string& architecture = metadata.text("general.architecture");
  const std::string type = metadata.text("general.type", "model");
  ASHLAR_CHECK(type != "adapter", "{}: is an adapter: merge it into its model first",
               metadata.where());
  ASHLAR_CHECK(type != "mmproj" && architecture != "clip",
               "{}: reads pictures for a model; name the file of the model itself",
               metadata.where());
  std::set<std::string_view> known;
  for (const std::string_view name : gguf_encoder_architectures()) known.insert(name);
  for (const GgufFamily& family : kFamilies) {
    known.insert(family.architecture);
    if (family.architecture != architecture) continue;
    if (family.matches == nullptr || family.matches(metadata)) return family;
  }
  fail("{}: architecture '{}' is not known; known are {}", metadata.where(), architecture,
       fmt::join(known, ", "));
}

const GgufFamily& gguf_family(const std::string& model_type) {
  std::vector<std::string_view> known;
  for (const GgufFamily& family : kFamilies) {
    if (family.model_type == model_type) return family;
    known.push_back(family.model_type);
  }
  fail("gguf: llama.cpp has no architecture for models of {}; it has for {}", model_type,
       fmt::join(known, ", "));
}

std::string gguf_norm_eps_key(const GgufFamily& family) {
  const models::DecoderConfig usual = models::find_family(std::string(family.model_type)).blank();
  return usual.norm == graph::NormKind::kRms ? "attention.layer_norm_rms_epsilon"
                                             : "attention.layer_norm_epsilon";
}

}  // namespace ashlar::bundle
