// Every family through GGUF: a folder to a file and back. The file says the same description,
// computes the same logits to the bit, and gives back the same tensors; what its architecture
// cannot say is refused by name.
#include "ashlar/base/file.h"
#include "ashlar/base/json.h"
#include "ashlar/bundle/convert.h"
#include "ashlar/bundle/gguf_tensors.h"
#include "ashlar/formats/gguf_writer.h"
#include "ashlar/formats/safetensors.h"
#include "tests/base/messages.h"
#include "tests/base/paths.h"
#include "tests/base/temp_dir.h"
#include "tests/models/family_models.h"
#include "tests/models/model_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstring>
#include <map>
#include <numeric>
#include <optional>
#include <set>

namespace ashlar::testing {
namespace {

using bundle::Bundle;
using nlohmann::json;
using ::testing::HasSubstr;

using Tensors = std::map<std::string, Tensor>;

void ignore(int64_t, int64_t) {}

// A fixture's config.json (below tests/fixtures) with some keys set otherwise.
struct Case {
  const char* fixture;
  const char* changes = "{}";
  const char* architecture = "";  // of the file; of refusals the message
  float tolerance = 0;            // of logits: of a number that the file has in single precision
};

std::string make_model(const Case& c, const std::string& folder) {
  auto config = read_json<json>(test_data(c.fixture) + "/config.json");
  config.merge_patch(json::parse(c.changes));
  make_counted_model(config.dump(), folder);
  return folder;
}

void write_gguf(const Bundle& model, const std::string& path) {
  ThreadPool pool(2);
  bundle::write_gguf_model(model, path, bundle::find_quant_mix("f32"), pool, ignore);
}

class GgufFamily : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override { write_gguf(model_, file_); }

  TempDir folder_;
  std::string file_ = folder_.path("m.gguf");
  Bundle model_ = Bundle::open(make_model(GetParam(), folder_.path("model")));
};

TEST_P(GgufFamily, ComputesTheSameFromTheFile) {
  const Bundle opened = Bundle::open(file_);
  EXPECT_EQ(opened.gguf()->metadata().text("general.architecture"), GetParam().architecture);
  std::vector<int32_t> ids(17);
  std::iota(ids.begin(), ids.end(), 3);
  // LongRoPE's short factors, then its long ones.
  for (const size_t count : {size_t{7}, ids.size()}) {
    const std::vector<int32_t> text(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(count));
    const std::vector<float> wanted = logits_of(model_, text, std::ssize(text));
    const std::vector<float> found = logits_of(opened, text, std::ssize(text));
    ASSERT_EQ(found.size(), wanted.size());
    for (size_t i = 0; i < found.size(); ++i) {
      ASSERT_NEAR(found[i], wanted[i], GetParam().tolerance) << "logit " << i;
    }
  }
}

TEST_P(GgufFamily, GivesBackTheSameTensors) {
  const Bundle opened = Bundle::open(file_);
  bundle::write_folder_model(opened, folder_.path("back"), DType::kF32, ignore);
  const formats::SafetensorsReader before(model_.path()), after(folder_.path("back"));
  const bool added = model_.config().zero_centred_norm;
  for (const std::string& name : before.names()) {
    const Tensor a = before.tensor(name), b = after.tensor(name);
    ASSERT_EQ(a.shape(), b.shape()) << name;
    for (int64_t i = 0; i < a.elements(); ++i) {
      const float x = a.as<float>()[i], y = b.as<float>()[i];
      // A norm's 1 + w is rounded in the file.
      if (added && name.find("norm") != std::string::npos) {
        ASSERT_NEAR(x, y, 1e-7) << name;
      } else {
        ASSERT_EQ(x, y) << name;
      }
    }
  }
  // A tied head may have been written once more.
  const bool again = model_.config().tied_head && !opened.config().tied_head;
  EXPECT_EQ(after.names().size(), before.names().size() + (again ? 1 : 0));
}

const Case kCases[] = {
    {"models/gpt2", "{}", "gpt2"},
    {"models/llama", "{}", "llama"},
    {"models/llama2", R"({"attention_bias": true, "mlp_bias": true})", "llama"},
    {"families/llama_dynamic", "{}", "llama"},
    {"families/llama_yarn", R"({"hidden_act": "silu"})", "llama"},
    {"families/mistral_wide", "{}", "llama"},
    {"families/mistral_window", R"({"hidden_act": "silu", "rope_parameters": {"truncate": true}})",
     "llama", 3e-6f},
    {"models/mixtral", "{}", "llama"},
    {"families/granite_scaled", "{}", "granite"},
    {"families/granite_biased", "{}", "granite"},
    {"families/gpt_neox_parallel", "{}", "gptneox"},
    {"families/gpt_neox_parallel", R"({"use_parallel_residual": false, "rotary_emb_base": 500,
                                       "tie_word_embeddings": true, "rotary_pct": 0.5})",
     "gptneox"},
    {"families/bloom_default", "{}", "bloom"},
    {"families/falcon_one_head", "{}", "falcon"},
    {"families/falcon_one_norm", "{}", "falcon"},
    {"families/falcon_second", R"({"bias": false})", "falcon"},
    {"families/falcon_one_head", R"({"multi_query": false, "tie_word_embeddings": false})",
     "falcon"},
    {"families/phi_saved", R"({"hidden_act": "gelu_new"})", "phi2"},
    {"families/phi3_partial", "{}", "phi3"},
    {"families/phi3_saved", "{}", "phi3"},
    {"families/phi3_long", "{}", "phi3"},
    {"families/stablelm_norms", "{}", "stablelm"},
    {"families/stablelm_parallel", "{}", "stablelm"},
    {"families/starcoder2_default", "{}", "starcoder2"},
    {"families/starcoder2_window", R"({"use_bias": true, "hidden_act": "gelu_pytorch_tanh"})",
     "starcoder2"},
    {"families/cohere_norms", R"({"use_qk_norm": false})", "command-r"},
    {"families/cohere_norms", R"({"num_hidden_layers": 64})", "command-r"},
    {"families/olmo2_grouped", "{}", "olmo2"},
    {"families/olmo2_biased", R"({"attention_bias": false})", "olmo2"},
    {"families/qwen2_window", "{}", "qwen2"},
    {"families/qwen2_types", "{}", "qwen2"},
    {"models/qwen2", "{}", "qwen2"},
    {"families/qwen3_biased", R"({"attention_bias": false})", "qwen3"},
    {"families/qwen3_saved", R"({"hidden_act": "silu"})", "qwen3"},
    {"models/qwen2_moe", "{}", "qwen2moe"},
    {"models/qwen2_moe", R"({"qkv_bias": false, "tie_word_embeddings": true})", "qwen2moe"},
    {"models/qwen3_moe", R"({"mlp_only_layers": []})", "qwen3moe"},
    {"models/qwen3_moe_plain", R"({"attention_bias": false, "norm_topk_prob": true})", "qwen3moe"},
    {"families/gemma_one_head", "{}", "gemma"},
    {"families/gemma_biased", R"({"attention_bias": false})", "gemma"},
    {"families/gemma2_capped", R"({"query_pre_attn_scalar": 16})", "gemma2"},
    {"families/gemma2_capped", R"({"query_pre_attn_scalar": 16, "sliding_window": 3,
       "layer_types": ["full_attention", "full_attention", "sliding_attention"]})",
     "gemma2"},
    {"families/gemma3_pattern", "{}", "gemma3"},
    {"families/gemma3_types", R"({"query_pre_attn_scalar": 8})", "gemma3"},
    {"models/deepseek_v2", R"({"rope_parameters": {"mscale": 1.2}})", "deepseek2"},
    {"models/deepseek_v2_lite", R"({"attention_bias": false, "mlp_bias": false})", "deepseek2"},
    {"models/deepseek_v3", R"({"rope_parameters": {"mscale": 1.2}})", "deepseek2"},
    {"models/deepseek_v3_plain", R"({"attention_bias": false, "rope_interleave": true})",
     "deepseek2"},
};

std::string name_of(const ::testing::TestParamInfo<Case>& info) {
  const std::string fixture = info.param.fixture;
  return fmt::format("{:02}_{}", info.index, fixture.substr(fixture.find('/') + 1));
}
INSTANTIATE_TEST_SUITE_P(Models, GgufFamily, ::testing::ValuesIn(kCases), name_of);

// Other forms that files have: keys and values of latent attention in one tensor, queries, keys and
// values too.
class GgufForms : public ::testing::Test {
 protected:
  // The model's file with other tensors and some keys left out or changed.
  void rewrite(const Case& c, const std::set<std::string>& without,
               const std::function<void(formats::GgufMetadata&)>& change,
               const std::function<Tensors(const bundle::GgufTensors&)>& tensors_of) {
    model_.emplace(Bundle::open(make_model(c, folder_.path("model"))));
    write_gguf(*model_, folder_.path("usual.gguf"));
    const auto usual = std::make_shared<const formats::GgufReader>(folder_.path("usual.gguf"));
    const Tensors tensors = tensors_of(bundle::GgufTensors(usual));
    formats::GgufMetadata keys;
    change(keys);
    for (const auto& [key, value] : usual->metadata().entries()) {
      if (!keys.contains(key) && !without.contains(key)) keys.add(key, value);
    }
    std::vector<formats::TensorSpec> specs;
    for (const auto& [name, tensor] : tensors)
      specs.push_back({name, tensor.dtype(), tensor.shape()});
    formats::write_gguf(folder_.path("other.gguf"), keys, specs,
                        [&](const formats::TensorSpec& spec, const formats::WriteBytes& write) {
                          const Tensor& tensor = tensors.at(spec.name);
                          write({tensor.data(), tensor.bytes()});
                        });
  }

  void expect_the_same() {
    const std::vector<int32_t> ids = {3, 9, 27, 81, 50, 12, 7};
    EXPECT_EQ(logits_of(Bundle::open(folder_.path("other.gguf")), ids, 7),
              logits_of(*model_, ids, 7));
  }

  TempDir folder_;
  std::optional<Bundle> model_;
};

Tensors all_of(const bundle::GgufTensors& file) {
  Tensors tensors;
  for (const std::string& name : file.names()) tensors[name] = file.tensor(name);
  return tensors;
}

TEST_F(GgufForms, LatentKeysAndValuesInOneTensor) {
  rewrite(
      {"models/deepseek_v3", R"({"rope_parameters": {"mscale": 1.2}})"},
      {"deepseek2.attention.key_length_mla", "deepseek2.attention.value_length_mla"},
      [](formats::GgufMetadata& keys) {
        keys.set_u32("deepseek2.attention.key_length", 16);
        keys.set_u32("deepseek2.attention.value_length", 12);
        keys.set_u32("deepseek2.attention.head_count_kv", 4);
      },
      all_of);
  EXPECT_TRUE(formats::GgufReader(folder_.path("other.gguf")).contains("blk.0.attn_kv_b.weight"));
  expect_the_same();
}

TEST_F(GgufForms, QueriesKeysAndValuesInOneTensor) {
  rewrite(
      {"families/phi_saved", R"({"hidden_act": "gelu_new"})"}, {}, [](auto&) {},
      [](const bundle::GgufTensors& file) {
        Tensors tensors = all_of(file);
        for (const std::string layer : {"blk.0.", "blk.1."}) {
          for (const std::string part : {".weight", ".bias"}) {
            Shape shape = tensors.at(layer + "attn_q" + part).shape();
            shape[0] = 96;
            Tensor whole(DType::kF32, shape);
            std::byte* to = whole.data();
            for (const char* name : {"attn_q", "attn_k", "attn_v"}) {
              const auto from = tensors.find(layer + name + part);
              std::memcpy(to, from->second.data(), from->second.bytes());
              to += from->second.bytes();
              tensors.erase(from);
            }
            EXPECT_EQ(to, whole.data() + whole.bytes());
            tensors[layer + "attn_qkv" + part] = whole;
          }
        }
        return tensors;
      });
  expect_the_same();
}

// What an architecture of llama.cpp computes in one way only.
class GgufRefusal : public ::testing::TestWithParam<Case> {};

TEST_P(GgufRefusal, NamesWhatTheFileCannotSay) {
  const TempDir folder;
  const Bundle model = Bundle::open(make_model(GetParam(), folder.path("model")));
  EXPECT_THAT(error_of([&] { write_gguf(model, folder.path("m.gguf")); }),
              HasSubstr(GetParam().architecture));
  EXPECT_FALSE(is_file(folder.path("m.gguf")));
}

const Case kRefusals[] = {
    {"families/gptj_partial", "{}", "llama.cpp has no architecture for models of gptj; it has for"},
    {"families/opt_default", "{}", "llama.cpp has no architecture for models of opt"},
    {"families/gpt2_by_layer", R"({"activation_function": "gelu_new"})",
     "gguf: architecture gpt2 cannot say config.json's scale_attn_by_inverse_layer_idx = true; its "
     "files mean false"},
    {"families/gpt2_unscaled", R"({"activation_function": "gelu_new"})",
     "scale_attn_weights = false; its files mean true"},
    {"families/gpt2_by_layer", R"({"scale_attn_by_inverse_layer_idx": false})",
     R"(activation_function = "relu"; its files mean "gelu_new")"},
    {"families/llama_yarn", "{}",
     R"(architecture llama cannot say config.json's hidden_act = "relu2")"},
    {"families/mistral_window", R"({"hidden_act": "silu"})", "yarn's truncate = false"},
    {"families/gpt_neox_in_turn", R"({"hidden_act": "gelu"})", "attention_bias = false"},
    {"families/bloom_from_norm", "{}", "apply_residual_connection_post_layernorm = true"},
    {"families/falcon_alibi", R"({"bias": false, "parallel_attn": true})", "alibi = true"},
    {"families/falcon_second", "{}", "bias = true"},
    {"families/phi_norms", "{}", "qk_layernorm = true"},
    {"families/starcoder2_default", R"({"use_bias": false})", "use_bias = false"},
    {"families/cohere_biased", R"({"attention_bias": false})",
     "architecture command-r has no head but the embedding, this model has one"},
    {"families/cohere_norms", "{}", "in no others; this one has 2 layers and norms"},
    {"families/olmo2_biased", "{}", "attention_bias = true"},
    {"families/qwen2_window", R"({"head_dim": 16})",
     "architecture qwen2 has heads of width / heads channels only; here 4 heads of a width of 32 "
     "have 16"},
    {"families/qwen3_biased", "{}", "attention_bias = true"},
    {"models/qwen2_moe", R"({"norm_topk_prob": true})", "norm_topk_prob = true"},
    {"models/qwen3_moe", "{}", "mlp_only_layers = [0]; its files mean []"},
    {"models/mixtral", R"({"ashlar_norm_topk_prob": false})", "norm_topk_prob = false"},
    {"families/gemma2_capped", "{}", "query_pre_attn_scalar = 20; its files mean 16"},
    {"families/gemma2_plain", "{}", "attn_logit_softcapping = null; its files mean 50.0"},
    {"models/deepseek_v2", "{}",
     "yarn with an mscale that is mscale_all_dim only; they are 0.8 and 1.2"},
    {"models/deepseek_v3_plain", R"({"attention_bias": false})", "rope_interleave = false"},
    {"models/qwen2", R"({"rope_scaling": {"rope_type": "llama3", "factor": 8.0,
       "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}})",
     "architecture qwen2 has no rotary scaling 'llama3'"},
};
INSTANTIATE_TEST_SUITE_P(Models, GgufRefusal, ::testing::ValuesIn(kRefusals), name_of);

}  // namespace
}  // namespace ashlar::testing
