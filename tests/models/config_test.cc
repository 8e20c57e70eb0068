#include "ashlar/base/file.h"
#include "ashlar/base/json.h"
#include "ashlar/models/family.h"
#include "tests/base/messages.h"
#include "tests/base/paths.h"
#include "tests/models/model_run.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

namespace ashlar::testing {
namespace {

using models::DecoderConfig;
using nlohmann::json;

constexpr const char* kKnown =
    "the decoders bloom, cohere, deepseek_v2, deepseek_v3, falcon, gemma, gemma2, gemma3_text, "
    "gpt2, "
    "gpt_neox, gptj, granite, llama, mistral, mixtral, olmo2, opt, phi, phi3, qwen2, qwen2_moe, "
    "qwen3, qwen3_moe, stablelm, starcoder2 and the encoders bert, roberta, xlm-roberta, "
    "nomic_bert, modernbert";
constexpr const char* kFixtures[] = {"gpt2",    "llama", "llama2", "mistral",
                                     "mixtral", "phi3",  "qwen2",  "qwen3"};

json fixture_config(const std::string& name) {
  return read_json<json>(model_fixture(name) + "/config.json");
}

DecoderConfig parse(const json& config) {
  return models::parse_config(config.dump(), "m/config.json");
}

// The message for the fixture's config with some keys changed (null removes one).
std::string error_with(const std::string& fixture, const json& changes) {
  json config = fixture_config(fixture);
  config.update(changes);
  return error_of([&] { parse(config); });
}

std::string error_without(const std::string& fixture, const std::string& key) {
  json config = fixture_config(fixture);
  config.erase(key);
  return error_of([&] { parse(config); });
}

TEST(Config, Gpt2) {
  const DecoderConfig config = parse(fixture_config("gpt2"));
  DecoderConfig wanted;
  wanted.family = "gpt2";
  wanted.vocab = 512;
  wanted.width = 64;
  wanted.layers = 2;
  wanted.heads = wanted.kv_heads = 4;
  wanted.head_dim = 16;
  wanted.ffn = 256;
  wanted.max_positions = 256;
  wanted.norm = graph::NormKind::kLayer;
  wanted.norm_eps = 1e-5;
  wanted.activation = kernels::Activation::kGeluTanh;
  wanted.gated = false;
  wanted.qkv_bias = wanted.o_bias = wanted.mlp_bias = true;
  wanted.tied_head = true;
  wanted.positions = models::Positions::kLearned;
  wanted.initializer_range = 0.15;
  wanted.scaled_init = true;
  wanted.bos = 0;
  wanted.eos = {0};
  EXPECT_EQ(config, wanted);
}

TEST(Config, Llama) {
  const DecoderConfig config = parse(fixture_config("llama"));
  DecoderConfig wanted;
  wanted.family = "llama";
  wanted.vocab = 512;
  wanted.width = 64;
  wanted.layers = 2;
  wanted.heads = 4;
  wanted.kv_heads = 2;
  wanted.head_dim = 16;
  wanted.ffn = 176;
  wanted.max_positions = 256;
  wanted.rope.theta = 500000;
  wanted.rope.rotary_dim = 16;
  wanted.rope.scaling = models::RopeScaling::kLlama3;
  wanted.rope.factor = 8;
  wanted.rope.low_freq_factor = 1;
  wanted.rope.high_freq_factor = 4;
  wanted.rope.original_max_positions = 64;
  wanted.initializer_range = 0.15;
  wanted.bos = 0;
  wanted.eos = {2};
  EXPECT_EQ(config, wanted);
}

TEST(Config, Mixtral) {
  const DecoderConfig config = parse(fixture_config("mixtral"));
  DecoderConfig wanted;
  wanted.family = "mixtral";
  wanted.vocab = 512;
  wanted.width = 64;
  wanted.layers = 2;
  wanted.heads = 4;
  wanted.kv_heads = 2;
  wanted.head_dim = 16;
  wanted.ffn = 176;
  wanted.max_positions = 256;
  wanted.norm_eps = 1e-5;
  wanted.rope.theta = 1e6;
  wanted.rope.rotary_dim = 16;
  wanted.mixture = {.experts = 4, .per_token = 2, .balance = true, .coefficient = 0.02};
  wanted.initializer_range = 0.15;
  wanted.bos = 1;
  wanted.eos = {2};
  EXPECT_EQ(config, wanted);
  EXPECT_EQ(error_with("mixtral", {{"num_experts_per_tok", 5}}),
            "m/config.json: experts per token is 5, wanted 1 to 4");
  json windowed = fixture_config("mixtral");
  windowed["sliding_window"] = 32;
  EXPECT_EQ(parse(windowed).layer(1).window, 32);
}

// What training adds is left out of every other graph.
TEST(Config, BalanceAndCapacityAreForTrainingOnly) {
  DecoderConfig config = parse(fixture_config("mixtral"));
  config.mixture.capacity = 1.25;
  config.mixture.random_second = true;
  const graph::Graph training = models::build_training(config);
  EXPECT_TRUE(training.outputs().contains("aux_loss"));
  EXPECT_THAT(training.str(), ::testing::HasSubstr("capacity=1.25 random_second"));
  const graph::Graph evaluation = models::build_evaluation(config);
  EXPECT_FALSE(evaluation.outputs().contains("aux_loss"));
  EXPECT_EQ(evaluation.str(), models::build_training(config.as_inference()).str());
  EXPECT_THAT(models::build_logits(config).str(), ::testing::Not(::testing::HasSubstr("capacity")));
}

TEST(Config, WrittenAndReadAgain) {
  for (const char* name : kFixtures) {
    DecoderConfig config = parse(fixture_config(name));
    config.dtype = DType::kBF16;
    config.eos = {2, 7};
    config.residual_dropout = name == std::string("gpt2") ? 0.25 : 0;
    EXPECT_EQ(models::parse_config(models::write_config(config), "written"), config) << name;
  }
}

// Every key of the fixture that we write has its value there.
TEST(Config, WrittenKeysAgreeWithTransformers) {
  for (const char* name : kFixtures) {
    const json theirs = fixture_config(name);
    const json ours = json::parse(models::write_config(parse(theirs)));
    for (const auto& [key, value] : theirs.items()) {
      if (key.starts_with("summary_") || key == "transformers_version") continue;
      // Without an effect: on nothing here, or on models without that scaling or those windows.
      if (key == "pad_token_id" || key == "original_max_position_embeddings") continue;
      if (key == "max_window_layers" && !theirs["use_sliding_window"]) continue;
      if (key == "partial_rotary_factor" && value == 1) continue;
      if (key == "n_inner") continue;                      // null there, which means 4 n_embd
      if (key == "head_dim" && value.is_null()) continue;  // hidden_size / num_attention_heads
      ASSERT_TRUE(ours.contains(key)) << name << " " << key;
      EXPECT_EQ(ours[key], value) << name << " " << key;
    }
  }
}

TEST(Config, ParameterCounts) {
  EXPECT_EQ(models::parameter_count(models::new_decoder(
                "gpt2",
                {.vocab = 50257, .width = 768, .layers = 12, .heads = 12, .max_positions = 1024})),
            124'439'808);  // GPT-2 small
  EXPECT_EQ(models::parameter_count(models::new_decoder("llama", {.vocab = 32000,
                                                                  .width = 4096,
                                                                  .layers = 32,
                                                                  .heads = 32,
                                                                  .max_positions = 4096,
                                                                  .ffn = 11008})),
            6'738'415'616);  // Llama 2 7B
  const DecoderConfig mixtral = models::new_decoder("mixtral", {.vocab = 32000,
                                                                .width = 4096,
                                                                .layers = 32,
                                                                .heads = 32,
                                                                .max_positions = 32768,
                                                                .kv_heads = 8,
                                                                .ffn = 14336});
  EXPECT_EQ(models::parameter_count(mixtral), 46'702'792'704);         // Mixtral 8x7B
  EXPECT_EQ(models::active_parameter_count(mixtral), 12'879'925'248);  // "12.9B" of them a token
}

TEST(Config, NewDecoderFillsTheUsualSizes) {
  const DecoderConfig config = models::new_decoder(
      "llama", {.vocab = 100, .width = 512, .layers = 2, .heads = 8, .max_positions = 64});
  EXPECT_EQ(config.kv_heads, 8);
  EXPECT_EQ(config.head_dim, 64);
  EXPECT_EQ(config.ffn, 1408);
  EXPECT_EQ(config.residual_dropout, 0);
  EXPECT_EQ(error_of([] {
              models::new_decoder(
                  "llama", {.vocab = 9, .width = 10, .layers = 1, .heads = 4, .max_positions = 8});
            }),
            "model: width 10 is not a multiple of 4 heads");
  EXPECT_EQ(error_of([] { models::new_decoder("lama", {}); }),
            "model.family: model_type 'lama' is not known; known are " + std::string(kKnown));
}

TEST(Config, OtherNamesOfKeys) {
  json config = fixture_config("gpt2");
  for (const auto& [key, other] : {std::pair("n_embd", "hidden_size"),
                                   {"n_layer", "num_hidden_layers"},
                                   {"n_head", "num_attention_heads"},
                                   {"n_positions", "max_position_embeddings"},
                                   {"dtype", "torch_dtype"}}) {
    config[other] = config[key];
    config.erase(key);
  }
  EXPECT_EQ(parse(config), parse(fixture_config("gpt2")));

  json llama = fixture_config("llama");
  json rope = llama["rope_scaling"];
  rope["rope_theta"] = llama["rope_theta"];
  llama.erase("rope_scaling");
  llama.erase("rope_theta");
  llama["rope_parameters"] = rope;
  EXPECT_EQ(parse(llama), parse(fixture_config("llama")));
}

TEST(Config, TwoNamesOfOneKeyAgree) {
  EXPECT_EQ(error_with("gpt2", {{"num_hidden_layers", 2}}), "(no error)");
  EXPECT_EQ(error_with("gpt2", {{"num_hidden_layers", 7}}),
            "m/config.json: n_layer is 2 and num_hidden_layers is 7, two names of one setting; "
            "wanted one value");
  EXPECT_EQ(error_with("gpt2", {{"torch_dtype", "bfloat16"}}), "(no error)");  // dtype goes before
}

// transformers puts null where the default would be, and fails where it computes with it.
TEST(Config, NullIsNoDefault) {
  const json null;
  EXPECT_EQ(error_with("llama", {{"rms_norm_eps", null}}),
            "m/config.json: key 'rms_norm_eps' is null");
  EXPECT_EQ(error_with("llama", {{"rope_theta", null}}), "m/config.json: key 'rope_theta' is null");
  EXPECT_EQ(error_with("llama", {{"hidden_act", null}}),
            "m/config.json: hidden_act is null, wanted the name of an activation");
  EXPECT_EQ(error_with("gpt2", {{"n_layer", null}}), "m/config.json: key 'n_layer' is null");
  // Where it means something.
  EXPECT_EQ(error_with("llama", {{"head_dim", null}, {"attention_dropout", null}}), "(no error)");
  json gpt2 = fixture_config("gpt2");
  gpt2["tie_word_embeddings"] = null;  // as false
  EXPECT_FALSE(parse(gpt2).tied_head);
}

TEST(Config, WhatIsNotCausalIsRefused) {
  EXPECT_EQ(error_with("qwen2", {{"is_causal", true}}), "(no error)");
  EXPECT_EQ(error_with("qwen2", {{"is_causal", false}}),
            "m/config.json: is_causal = false is not supported (only true)");
  EXPECT_EQ(error_with("qwen2", {{"is_causal", json()}}),
            "m/config.json: is_causal = null is not supported (only true)");
}

// Mixtral's weights of experts sum to 1 whatever this key of Qwen's says.
TEST(Config, MixtralAlwaysRenormalises) {
  json config = fixture_config("mixtral");
  config["norm_topk_prob"] = false;
  DecoderConfig found = parse(config);
  EXPECT_TRUE(found.mixture.renormalise);
  found.mixture.renormalise = false;  // one of ours
  EXPECT_FALSE(
      models::parse_config(models::write_config(found), "m/config.json").mixture.renormalise);
}

json small_config(const std::string& type) {
  return {{"model_type", type},           {"vocab_size", 96},         {"hidden_size", 32},
          {"num_hidden_layers", 2},       {"num_attention_heads", 4}, {"intermediate_size", 48},
          {"max_position_embeddings", 64}};
}

// Where transformers looks for rotary parameters; found by tests/oracles/random_configs.py.
TEST(Config, RotaryKeysAreReadWhereTransformersDoes) {
  // Phi 3 has a default for the outer key, which goes before the scaling's own.
  json phi = small_config("phi3");
  phi["rope_scaling"] = {{"type", "longrope"},
                         {"short_factor", {1, 1, 1, 1}},
                         {"long_factor", {2, 2, 2, 2}},
                         {"original_max_position_embeddings", 16}};
  EXPECT_EQ(parse(phi).rope.original_max_positions, 4096);
  phi["original_max_position_embeddings"] = 16;
  EXPECT_EQ(parse(phi).rope.original_max_positions, 16);

  // GPT-NeoX knows its base and share under names of its own.
  json neox = small_config("gpt_neox");
  neox["rotary_emb_base"] = 500;
  neox["rotary_pct"] = 0.5;
  EXPECT_EQ(parse(neox).rope.theta, 500);
  EXPECT_EQ(parse(neox).rope.rotary_dim, 4);
  neox["rope_theta"] = 700;
  EXPECT_THROW(parse(neox), Error);

  // Yarn's truncate stands beside the types of layers, where nobody writes it.
  const json yarn = {{"rope_type", "yarn"},
                     {"factor", 4.0},
                     {"original_max_position_embeddings", 16},
                     {"truncate", false}};
  json gemma = small_config("gemma3_text");
  gemma["rope_parameters"] = {{"full_attention", yarn}, {"sliding_attention", yarn}};
  EXPECT_TRUE(parse(gemma).rope.truncate);
  EXPECT_EQ(parse(gemma).local_rope.scaling, models::RopeScaling::kYarn);
  EXPECT_EQ(parse(gemma).rope.theta, 1e6);
  EXPECT_EQ(parse(gemma).local_rope.theta, 10000);
  EXPECT_EQ(models::parse_config(models::write_config(parse(gemma)), "again").local_rope,
            parse(gemma).local_rope);
  json llama = small_config("llama");
  llama["rope_parameters"] = yarn;
  EXPECT_FALSE(parse(llama).rope.truncate);
  llama["rope_parameters"]["truncate"] = nullptr;  // is false there
  EXPECT_FALSE(parse(llama).rope.truncate);

  json bloom = {{"model_type", "bloom"}, {"vocab_size", 96}, {"hidden_size", 32},
                {"n_layer", 2},          {"n_head", 4},      {"pretraining_tp", 2},
                {"slow_but_exact", true}};
  EXPECT_THAT(error_of([&] { parse(bloom); }), ::testing::HasSubstr("leaves out the biases"));
  bloom["pretraining_tp"] = 1;
  EXPECT_NO_THROW(parse(bloom));

  json mixtral = small_config("mixtral");
  mixtral["num_experts"] = 5;
  mixtral["num_key_value_heads"] = 2;
  EXPECT_EQ(parse(mixtral).mixture.experts, 5);
}

// max_window_layers may be beyond any integer: the first has windows from there on, the other
// before.
TEST(Config, WindowsAroundALayerThatIsNotThere) {
  const auto window = [](const char* fixture) {
    json config = fixture_config(fixture);
    config.erase("layer_types");
    config.update({{"use_sliding_window", true}, {"sliding_window", 8}});
    config["max_window_layers"] = 1e30;
    return parse(config).largest_window();
  };
  EXPECT_EQ(window("qwen2"), 0);
  EXPECT_EQ(window("qwen2_moe"), 8);
}

TEST(Config, HarmlessKeysPass) {
  json config = fixture_config("llama");
  config.update({{"_name_or_path", "x"},
                 {"unsloth_version", "1"},
                 {"pretraining_tp", 2},
                 {"pruned_heads", json::object()},
                 {"quantization_config", nullptr},
                 {"unsloth_fixed", true},
                 {"use_return_dict", true},
                 {"use_cache", false}});
  EXPECT_EQ(parse(config), parse(fixture_config("llama")));
}

// What published files hold beside the keys that transformers reads.
TEST(Config, KeysOfPublishedFilesPassAtOneValue) {
  const auto found = [](const char* fixture, const json& more) {
    json config = read_json<json>(test_data(std::string("families/") + fixture + "/config.json"));
    const DecoderConfig wanted = parse(config);
    config.update(more);
    return error_of([&] { EXPECT_EQ(parse(config), wanted) << fixture; });
  };
  const json starcoder2{{"activation_function", "gelu"},
                        {"attention_softmax_in_fp32", true},
                        {"scale_attention_softmax_in_fp32", true},
                        {"layer_norm_epsilon", 1e-3},
                        {"scale_attn_weights", true},
                        {"mlp_type", "default"},
                        {"norm_type", "layer_norm"}};
  EXPECT_EQ(found("starcoder2_default", starcoder2), "(no error)");
  EXPECT_EQ(found("starcoder2_default", {{"norm_type", "rms_norm"}}),
            "m/config.json: mlp_type 'default' and norm_type 'rms_norm' are not supported (only "
            "default and layer_norm)");
  const json gemma2{{"cache_implementation", "hybrid"}, {"sliding_window_size", 4096}};
  EXPECT_EQ(found("gemma2_plain", gemma2), "(no error)");
  EXPECT_EQ(found("phi3_long", {{"full_attn_mod", 1}, {"interpolate_factor", 1}}), "(no error)");
  EXPECT_EQ(found("phi3_long", {{"full_attn_mod", 2}}),
            "m/config.json: full_attn_mod = 2 is not supported (only 1)");
  EXPECT_EQ(found("gpt_neox_parallel", {{"attention_probs_dropout_prob", 0.1}}), "(no error)");
  EXPECT_EQ(found("cohere_norms", {{"model_max_length", 131072}, {"pretraining_tp", 1}}),
            "(no error)");
  EXPECT_EQ(found("falcon_second", {{"ff_factor", 3}}),
            "m/config.json: ff_factor = 3 is not supported (only 4)");
}

TEST(Config, MissingKeys) {
  EXPECT_EQ(error_without("gpt2", "n_embd"), "m/config.json: key 'n_embd' is missing");
  EXPECT_EQ(error_without("llama", "intermediate_size"),
            "m/config.json: key 'intermediate_size' is missing");
  EXPECT_EQ(error_without("llama", "model_type"), "m/config.json: key 'model_type' is missing");
  EXPECT_EQ(error_with("llama", {{"rope_scaling", {{"rope_type", "linear"}}}}),
            "m/config.json: key 'rope_scaling.factor' is missing");
}

TEST(Config, WhatChangesTheMathematicsIsRefused) {
  EXPECT_EQ(error_with("gpt2", {{"add_cross_attention", true}}),
            "m/config.json: add_cross_attention = true is not supported (only false)");
  EXPECT_EQ(error_with("llama", {{"rope_scaling", {{"type", "ntk"}, {"factor", 4.0}}}}),
            "m/config.json: rope_scaling type 'ntk' is not supported; supported are default, "
            "linear, dynamic, llama3, yarn, longrope");
  EXPECT_EQ(error_with("llama", {{"hidden_act", "xielu"}}),
            "m/config.json: hidden_act 'xielu' is not supported; supported are gelu_new, "
            "gelu_pytorch_tanh, gelu_fast, gelu_accurate, gelu_python_tanh, gelu, gelu_python, "
            "quick_gelu, silu, swish, relu, relu2, tanh, sigmoid, linear");
  for (const std::string method : {"gptq", "awq", "bitsandbytes", "fp8"}) {
    EXPECT_EQ(
        error_with("llama", {{"quantization_config", {{"bits", 4}, {"quant_method", method}}}}),
        "m/config.json: quantization_config: weights as '" + method +
            "' packs them are not read; wanted the model before that, or a GGUF file");
  }
  EXPECT_EQ(error_with("llama",
                       {{"rope_scaling", {{"rope_type", "linear"}, {"factor", 2.0}, {"beta", 1}}}}),
            "m/config.json: key 'rope_scaling.beta' (= 1) is not understood; if it does not change "
            "what the model computes, remove it");
  EXPECT_EQ(error_with("llama", {{"model_type", "mamba"}}),
            "m/config.json: model_type 'mamba' is not known; known are " + std::string(kKnown));
}

TEST(Config, ValuesThatCannotBe) {
  EXPECT_EQ(error_with("llama", {{"hidden_size", -64}}),
            "m/config.json: hidden_size is -64, wanted an integer from 1 to 2147483647");
  EXPECT_EQ(error_with("llama", {{"num_hidden_layers", 2000000000}}),
            "m/config.json: num_hidden_layers is 2000000000, wanted an integer from 1 to 2000");
  // Whose layers differ: a list of them is made first.
  EXPECT_EQ(error_with("qwen3", {{"num_hidden_layers", 2147483647}}),
            "m/config.json: num_hidden_layers is 2147483647, wanted an integer from 1 to 2000");
  EXPECT_EQ(error_with("llama", {{"head_dim", 1 << 30}}),
            "m/config.json: head size is 1073741824, wanted 1 to 4194304");
  EXPECT_EQ(error_with("llama", {{"hidden_size", 64.5}}),
            "m/config.json: hidden_size is 64.5, wanted an integer from 1 to 2147483647");
  EXPECT_EQ(error_with("llama", {{"rms_norm_eps", "small"}}),
            "m/config.json: rms_norm_eps is \"small\", wanted a number");
  EXPECT_EQ(error_with("llama", {{"num_key_value_heads", 3}}),
            "m/config.json: 4 heads are not a multiple of 3 key-value heads");
  EXPECT_EQ(
      error_with("llama", {{"head_dim", 15}}),
      "m/config.json: 15 rotary channels of a head of size 15, wanted an even number up to it");
  EXPECT_EQ(error_with("gpt2", {{"n_head", 5}}),
            "m/config.json: n_embd 64 is not a multiple of n_head 5");
  EXPECT_EQ(error_with("gpt2", {{"resid_pdrop", 1.0}}),
            "m/config.json: residual dropout is 1, wanted at least 0 and below 1");
  EXPECT_EQ(error_with("gpt2", {{"dtype", "float8"}}),
            "m/config.json: dtype 'float8' is not supported; supported are float32, bfloat16, "
            "float16");
  EXPECT_EQ(error_with("llama", {{"eos_token_id", {"</s>"}}}),
            "m/config.json: eos_token_id is [\"</s>\"], wanted a token id or a list of them");
  json phi = read_json<json>(test_data("families/phi_norms/config.json"));
  phi["partial_rotary_factor"] = 1e300;
  EXPECT_EQ(error_of([&] { parse(phi); }),
            "m/config.json: partial_rotary_factor is 1e+300, wanted a number from 0 to 1");
  EXPECT_EQ(error_of([] { models::parse_config("[]", "m/config.json"); }),
            "m/config.json: wanted a JSON object");
}

// What acts in training alone keeps no model from being served.
TEST(Config, DenseLayersBeforeTheMixtures) {
  json config = fixture_config("deepseek_v3");
  const auto dense_first = [&](double value) {
    config["first_k_dense_replace"] = value;
    return parse(config).mixture.dense_first;
  };
  EXPECT_EQ(dense_first(1), 1);
  EXPECT_EQ(dense_first(1e78), config.at("num_hidden_layers"));
  for (const double value : {-1.0, 0.5}) {
    EXPECT_THAT(error_of([&] { dense_first(value); }),
                ::testing::HasSubstr("first_k_dense_replace"));
  }
}

TEST(Config, WhatTrainingAloneHasIsRefusedThereOnly) {
  json opt = read_json<json>(test_data("families/opt_stream/config.json"));
  opt["layerdrop"] = 0.125;
  json mixtral = fixture_config("mixtral");
  mixtral["router_jitter_noise"] = 0.25;
  for (const auto& [config, key] : {std::pair{parse(opt), "layerdrop = 0.125"},
                                    std::pair{parse(mixtral), "router_jitter_noise = 0.25"}}) {
    EXPECT_THAT(error_of([&, &config = config] { models::build_training(config); }),
                ::testing::AllOf(::testing::HasSubstr("training " + config.family + ": "),
                                 ::testing::HasSubstr(key),
                                 ::testing::HasSubstr("set it to 0 in config.json")));
    EXPECT_NO_THROW(models::build_training(config.without_dropout()));
    EXPECT_EQ(models::build_logits(config).str(),
              models::build_logits(config.without_dropout()).str());
    EXPECT_EQ(models::parse_config(models::write_config(config), "again"), config);
  }
}

TEST(Config, AttentionDropoutIsForTrainingOnly) {
  for (const auto& [family, key] :
       {std::pair{"gpt2", "attn_pdrop"}, {"llama", "attention_dropout"}}) {
    json text = fixture_config(family);
    text[key] = 0.125;
    const DecoderConfig config = parse(text);
    const DecoderConfig none = config.without_dropout();
    EXPECT_THAT(models::build_training(config).str(),
                ::testing::HasSubstr(" causal dropout=0.125"));
    EXPECT_EQ(models::build_evaluation(config).str(), models::build_training(none).str());
    EXPECT_EQ(models::build_logits(config).str(), models::build_logits(none).str());
    const models::ServingSpec spec{.blocks = 6, .table_width = 3};
    EXPECT_EQ(models::build_serving(config, spec).str(), models::build_serving(none, spec).str());
  }
}

}  // namespace
}  // namespace ashlar::testing
