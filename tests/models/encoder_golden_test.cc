// Encoders against transformers: hidden states of two texts in one batch, logits of a hidden token.
// Weights and ids are counter_values; tests/oracles/torch_encoders.py made the goldens.
#include "ashlar/base/atomic_file.h"
#include "ashlar/base/error.h"
#include "ashlar/bundle/gguf_embedding.h"
#include "ashlar/formats/gguf_writer.h"
#include "ashlar/formats/safetensors_writer.h"
#include "ashlar/passes/fuse.h"
#include "tests/base/messages.h"
#include "tests/base/temp_dir.h"
#include "tests/graph/counter_values.h"
#include "tests/models/encoder_models.h"
#include "tests/models/model_run.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <numeric>

namespace ashlar::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class EncoderGolden : public ::testing::TestWithParam<const char*> {};

TEST_P(EncoderGolden, HiddenStates) {
  const json golden = encoder_golden(GetParam());
  const TempDir folder(quick_folder());
  write_encoder_model(folder.path(), golden);
  expect_encoder_golden(bundle::Bundle::open(folder.path()), golden);
}

class EncoderHead : public ::testing::TestWithParam<const char*> {};

TEST_P(EncoderHead, Logits) {
  const json golden = encoder_golden(GetParam());
  const json& forward = golden.at("golden").at("forward");
  const TempDir folder(quick_folder());
  write_encoder_model(folder.path(), golden);
  const bundle::Bundle model = bundle::Bundle::open(folder.path());
  const models::DecoderConfig& config = *model.encoder();
  const std::vector<int32_t> ids = forward.at("ids");
  const auto sizes = bindings(std::ssize(ids), 1, 1);
  ModelRun run(passes::fuse(models::build_logits(config)), model, sizes);
  std::vector<int32_t> positions(ids.size());
  std::iota(positions.begin(), positions.end(), 0);
  run.bind("tokens", ids);
  run.bind("positions", positions);
  run.bind("row_start", std::vector<int32_t>{0, static_cast<int32_t>(ids.size())});
  run.bind("output_rows", std::vector<int32_t>{forward.at("logits").at("position")});
  if (config.token_types > 0) run.bind("token_types", std::vector<int32_t>(ids.size()));
  const graph::Operand found = run.run(sizes, "logits");
  const std::vector<double> wanted = forward.at("logits").at("values");
  ASSERT_EQ(std::ssize(wanted), config.vocab);
  for (size_t i = 0; i < wanted.size(); ++i) EXPECT_NEAR(found.as<float>()[i], wanted[i], 1e-4);
}

INSTANTIATE_TEST_SUITE_P(Models, EncoderHead, ::testing::ValuesIn(kEncodersWithHeads),
                         [](const auto& model) { return std::string(model.param); });

INSTANTIATE_TEST_SUITE_P(Models, EncoderGolden,
                         ::testing::Values("bert", "bert_relu", "roberta", "roberta_padding_5",
                                           "xlm_roberta", "nomic", "nomic_theta", "modernbert",
                                           "modernbert_biases"),
                         [](const auto& model) { return std::string(model.param); });

// What llama.cpp's converter calls the tensors: endings of names, and what stands in their place.
constexpr std::pair<const char*, const char*> kGgufNames[] = {
    {"embeddings.word_embeddings", "token_embd"},
    {"embeddings.tok_embeddings", "token_embd"},
    {"embeddings.position_embeddings", "position_embd"},
    {"embeddings.token_type_embeddings", "token_types"},
    {"embeddings.LayerNorm", "token_embd_norm"},
    {"embeddings.norm", "token_embd_norm"},
    {"emb_ln", "token_embd_norm"},
    {"final_norm", "output_norm"},
    {"attention.self.query", "attn_q"},
    {"attention.self.key", "attn_k"},
    {"attention.self.value", "attn_v"},
    {"attention.output.dense", "attn_output"},
    {"attention.output.LayerNorm", "attn_output_norm"},
    {"intermediate.dense", "ffn_up"},
    {"output.dense", "ffn_down"},
    {"output.LayerNorm", "layer_output_norm"},
    {"attn.Wqkv", "attn_qkv"},
    {"attn.out_proj", "attn_output"},
    {"attn.Wo", "attn_output"},
    {"attn_norm", "attn_norm"},
    {"norm1", "attn_output_norm"},
    {"norm2", "layer_output_norm"},
    {"mlp_norm", "ffn_norm"},
    {"mlp.fc11", "ffn_up"},
    {"mlp.fc12", "ffn_gate"},
    {"mlp.fc2", "ffn_down"},
    {"mlp.Wi", "ffn_up"},
    {"mlp.Wo", "ffn_down"},
};

std::string gguf_name(const std::string& theirs) {
  const size_t dot = theirs.rfind('.');
  const std::string stem = theirs.substr(0, dot), part = theirs.substr(dot);
  for (const auto& [ending, name] : kGgufNames) {
    if (!stem.ends_with(ending)) continue;
    const size_t digit = stem.find_first_of("0123456789");
    const bool layered = digit != std::string::npos && stem.find(".layer") < digit;
    if (!layered && stem.find("layers.") != 0) return name + part;
    return fmt::format("blk.{}.{}{}", stem[digit], name, part);
  }
  ADD_FAILURE() << theirs;
  return theirs;
}

struct GgufEncoder {
  const char* golden;
  const char* architecture;
};

class EncoderGguf : public ::testing::TestWithParam<GgufEncoder> {
 protected:
  formats::GgufMetadata keys(const json& config) const {
    const std::string architecture = GetParam().architecture, prefix = architecture + ".";
    const auto eps = config.contains("norm_eps") ? config["norm_eps"] : config["layer_norm_eps"];
    const int64_t cut = GetParam().golden == std::string("roberta") ? 2 : 0;
    formats::GgufMetadata keys;
    keys.set("general.architecture", architecture);
    keys.set_u32(prefix + "context_length", config["max_position_embeddings"].get<int64_t>() - cut);
    keys.set_u32(prefix + "embedding_length", config["hidden_size"].get<int64_t>());
    keys.set_u32(prefix + "block_count", config["num_hidden_layers"].get<int64_t>());
    keys.set_u32(prefix + "feed_forward_length", config["intermediate_size"].get<int64_t>());
    keys.set_u32(prefix + "attention.head_count", config["num_attention_heads"].get<int64_t>());
    keys.set_f32(prefix + "attention.layer_norm_epsilon", eps.get<double>());
    keys.set(prefix + "attention.causal", false);
    keys.set_u32(prefix + "pooling_type", 2);
    if (architecture == "nomic-bert") keys.set_f32(prefix + "rope.freq_base", 1000);
    if (architecture == "modern-bert") {
      keys.set_f32(prefix + "rope.freq_base", 160000);
      keys.set_f32(prefix + "rope.freq_base_swa", 10000);
      keys.set_u32(prefix + "attention.sliding_window", config["local_attention"].get<int64_t>());
    }
    return keys;
  }
};

TEST_P(EncoderGguf, HiddenStates) {
  const json golden = encoder_golden(GetParam().golden);
  const TempDir folder(quick_folder());
  std::map<std::string, Tensor> tensors;
  std::vector<formats::TensorSpec> specs;
  for (const auto& [name, dims] : golden.at("tensors").items()) {
    if (name.starts_with("pooler.")) continue;
    Tensor tensor =
        counted_tensor(name, Shape(std::vector<int64_t>(dims)), golden.at("matrix_scale"));
    // RoBERTa's rows before the first position are left away.
    const bool cut = name.find("position_emb") != std::string::npos &&
                     GetParam().golden == std::string("roberta");
    if (cut) tensor = tensor.rows(2, tensor.shape()[0]);
    specs.push_back({gguf_name(name), DType::kF32, tensor.shape()});
    tensors[gguf_name(name)] = tensor;
  }
  const std::string path = join_path(folder.path(), "m.gguf");
  formats::write_gguf(path, keys(golden.at("config")), specs,
                      [&](const formats::TensorSpec& spec, const formats::WriteBytes& write) {
                        const Tensor& tensor = tensors.at(spec.name);
                        write({tensor.data(), tensor.bytes()});
                      });
  const bundle::Bundle model = bundle::Bundle::open(path);
  EXPECT_EQ(bundle::gguf_embedding(model.gguf()->metadata()).pooling, "cls");
  expect_encoder_golden(model, golden);
}

INSTANTIATE_TEST_SUITE_P(Models, EncoderGguf,
                         ::testing::Values(GgufEncoder{"bert", "bert"},
                                           GgufEncoder{"roberta", "bert"},
                                           GgufEncoder{"nomic", "nomic-bert"},
                                           GgufEncoder{"modernbert", "modern-bert"}),
                         [](const auto& model) { return std::string(model.param.golden); });

TEST(EncoderFiles, OldNamesOfNormsAndPositionBuffersAreRead) {
  json golden = encoder_golden("bert");
  golden["tensors"]["bert.embeddings.position_ids"] = {1, 128};
  const TempDir folder(quick_folder());
  write_encoder_model(folder.path(), golden, [](std::string name) {
    for (const auto& [ending, older] : {std::pair{"LayerNorm.weight", "LayerNorm.gamma"},
                                        std::pair{"LayerNorm.bias", "LayerNorm.beta"}}) {
      if (name.ends_with(ending)) {
        name = name.substr(0, name.size() - std::string(ending).size()) + older;
      }
    }
    return name.starts_with("bert.") ? name : "bert." + name;
  });
  expect_encoder_golden(bundle::Bundle::open(folder.path()), golden);
}

// nomic-embed-text-v1's config.json has the keys of GPT-2.
TEST(EncoderFiles, NomicsFirstKeysAreRead) {
  json golden = encoder_golden("nomic");
  golden["config"] = json::parse(R"({
      "model_type": "nomic_bert", "activation_function": "swiglu", "causal": false,
      "layer_norm_epsilon": 1e-12, "mlp_fc1_bias": false, "mlp_fc2_bias": false, "n_embd": 48,
      "n_head": 4, "n_inner": 80, "n_layer": 3, "n_positions": 128, "parallel_block": false,
      "prenorm": false, "qkv_proj_bias": false, "rotary_emb_base": 1000,
      "rotary_emb_fraction": 1.0, "rotary_emb_interleaved": false, "rotary_emb_scale_base": null,
      "rotary_scaling_factor": null, "scale_attn_weights": true, "type_vocab_size": 2,
      "use_flash_attn": true, "use_rms_norm": false, "vocab_size": 97})");
  const TempDir folder(quick_folder());
  write_encoder_model(folder.path(), golden);
  expect_encoder_golden(bundle::Bundle::open(folder.path()), golden);

  golden["config"]["prenorm"] = true;
  write_file(join_path(folder.path(), "config.json"), golden.at("config").dump());
  EXPECT_THROW(bundle::Bundle::open(folder.path()), Error);
}

// ModernBERT-base's config.json says by numbers what newer ones list for each layer.
TEST(EncoderFiles, ModernBertsFirstKeysAreRead) {
  json golden = encoder_golden("modernbert");
  json& config = golden["config"];
  config.erase("layer_types");
  config.erase("rope_parameters");
  config["global_attn_every_n_layers"] = 3;
  config["global_rope_theta"] = 160000.0;
  config["local_rope_theta"] = 10000.0;
  const TempDir folder(quick_folder());
  write_encoder_model(folder.path(), golden);
  expect_encoder_golden(bundle::Bundle::open(folder.path()), golden);
}

std::string error_with(const std::string& name, const std::string& key, const json& value) {
  json config = encoder_golden(name).at("config");
  config[key] = value;
  try {
    models::parse_config(config.dump(), "config.json");
  } catch (const Error& error) {
    return error.what();
  }
  return "no Error";
}

TEST(EncoderFiles, WhatIsNotUnderstoodIsRefused) {
  EXPECT_EQ(error_with("bert", "hidden_size", 48), "no Error");
  EXPECT_THAT(error_with("bert", "position_embedding_type", "relative_key"),
              HasSubstr("position_embedding_type 'relative_key' is not supported"));
  EXPECT_THAT(error_with("bert", "is_decoder", true), HasSubstr("is_decoder = true"));
  EXPECT_THAT(error_with("bert", "mystery", 3), HasSubstr("key 'mystery' (= 3)"));
  EXPECT_THAT(error_with("bert", "num_attention_heads", 5), HasSubstr("not a multiple"));
  EXPECT_THAT(error_with("roberta", "max_position_embeddings", 2), HasSubstr("leaves no room"));
  EXPECT_THAT(error_with("modernbert", "layer_types", {"full_attention"}),
              HasSubstr("layer_types has 1 entries, num_hidden_layers is 4"));
  EXPECT_THAT(error_with("modernbert", "layer_types", {"full_attention", "x", "x", "x"}),
              HasSubstr("layer_types holds 'x'"));
  EXPECT_THAT(error_with("nomic", "rope_parameters", {{"rope_type", "spiral"}}),
              HasSubstr("type 'spiral' is not supported"));
}

TEST(EncoderFiles, AnUnknownTypeListsDecodersAndEncoders) {
  const TempDir folder(quick_folder());
  write_file(join_path(folder.path(), "config.json"), R"({"model_type": "mamba"})");
  try {
    bundle::Bundle::open(folder.path());
    FAIL() << "no Error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(),
                HasSubstr("model_type 'mamba' is not known; known are the decoders "));
    EXPECT_THAT(error.what(), HasSubstr("and the encoders bert, roberta, "));
  }
}

TEST(EncoderFiles, ATypeWithPicturesNamesItsTextModel) {
  EXPECT_EQ(error_of([] { models::find_family("gemma3", "c.json"); }),
            "c.json: model_type 'gemma3' takes pictures too and is not known; its text model, "
            "gemma3_text, is");
}

TEST(EncoderFiles, ConfigsAreWrittenAsTheyAreRead) {
  for (const char* name : {"bert_relu", "roberta_padding_5", "xlm_roberta", "nomic_theta",
                           "modernbert", "modernbert_biases"}) {
    const auto config = models::parse_config(encoder_golden(name).at("config").dump(), name);
    const std::string written = models::write_config(config);
    EXPECT_EQ(models::parse_config(written, name), config) << written;
  }
  // Which transformers wants as a number for this family.
  const auto nomic = models::parse_config(encoder_golden("nomic").at("config").dump(), "nomic");
  EXPECT_TRUE(json::parse(models::write_config(nomic)).at("pad_token_id").is_number_integer());
}

TEST(EncoderFiles, AnEncoderIsNoDecoder) {
  const TempDir folder(quick_folder());
  write_encoder_model(folder.path(), encoder_golden("bert"));
  const bundle::Bundle model = bundle::Bundle::open(folder.path());
  EXPECT_NE(model.encoder(), nullptr);
  EXPECT_THROW(model.config(), Error);
}

}  // namespace
}  // namespace ashlar::testing
