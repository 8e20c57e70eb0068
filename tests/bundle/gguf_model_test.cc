// Models through GGUF: the fixtures written as GGUF files, opened, and written back.
#include "ashlar/bundle/gguf_model.h"

#include "ashlar/base/file.h"
#include "ashlar/bundle/convert.h"
#include "ashlar/bundle/gguf_names.h"
#include "ashlar/bundle/load_weights.h"
#include "ashlar/bundle/rope_divisors.h"
#include "ashlar/formats/gguf_writer.h"
#include "ashlar/models/decoder_graphs.h"
#include "tests/base/messages.h"
#include "tests/base/temp_dir.h"
#include "tests/bundle/model_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace ashlar::testing {
namespace {

using bundle::Bundle;
using ::testing::HasSubstr;

void ignore(int64_t, int64_t) {}

Tensors parameters_of(const Bundle& model) {
  Tensors parameters;
  bundle::load_weights(
      model.open_weights(), model.config(), models::build_logits(model.config()),
      bundle::Storage::kOwn, model.path(),
      [&](const std::string& name, Tensor tensor) { parameters[name] = std::move(tensor); });
  return parameters;
}

int64_t to_gguf(const Bundle& model, const std::string& path, const std::string& mix) {
  ThreadPool pool(2);
  return bundle::write_gguf_model(model, path, bundle::find_quant_mix(mix), pool, ignore);
}

// What a GGUF file has no keys for.
models::DecoderConfig described(models::DecoderConfig config) {
  config = config.as_inference();
  config.initializer_range = 0;
  config.mixture.coefficient = 0;
  config.dtype = DType::kF32;
  std::ranges::sort(config.eos);
  return config;
}

class GgufModel : public ::testing::TestWithParam<const char*> {
 protected:
  TempDir folder_;
  Bundle model_ = Bundle::open(model_folder(GetParam()));
};

TEST_P(GgufModel, SaysAndHoldsTheSame) {
  const std::string path = folder_.path("m.gguf");
  const int64_t bytes = to_gguf(model_, path, "f32");
  const Bundle opened = Bundle::open(path);
  EXPECT_EQ(opened.open_weights().data_bytes(), bytes);
  EXPECT_EQ(described(opened.config()), described(model_.config()));
  const Tensors found = parameters_of(opened), wanted = parameters_of(model_);
  ASSERT_EQ(found.size(), wanted.size());
  for (const auto& [name, tensor] : wanted) {
    EXPECT_TRUE(same_bytes(found.at(name), tensor)) << name;
  }
}

TEST_P(GgufModel, TokenizerAndTemplateComeAlong) {
  const std::string path = folder_.path("m.gguf");
  to_gguf(model_, path, "f16");
  const Bundle opened = Bundle::open(path);
  const text::Tokenizer found = opened.load_tokenizer(), wanted = model_.load_tokenizer();
  for (const std::string text :
       {"Hello, world!", "", " ", "  two  spaces\n\nlines\t", "naïve café 日本語 🦙",
        "It's 12345.67", "<s>special</s><|endoftext|>", "\xCC\x81 combining e\xCC\x81"}) {
    EXPECT_EQ(found.encode(text, true), wanted.encode(text, true)) << text;
    const std::vector<int32_t> ids = wanted.encode(text, false);
    EXPECT_EQ(found.decode(ids, false), wanted.decode(ids, false)) << text;
  }
  EXPECT_EQ(opened.generation().bos, model_.generation().bos);
  EXPECT_THAT(opened.generation().eos,
              ::testing::UnorderedElementsAreArray(model_.generation().eos));
  const text::ChatFiles chat = opened.chat_files(), before = model_.chat_files();
  ASSERT_EQ(chat.templates.size(), before.templates.size());
  for (size_t i = 0; i < chat.templates.size(); ++i) {
    EXPECT_EQ(chat.templates[i].source, before.templates[i].source);
  }
}

TEST_P(GgufModel, BackToAFolderOfTheSameTensors) {
  to_gguf(model_, folder_.path("m.gguf"), "f32");
  const Bundle opened = Bundle::open(folder_.path("m.gguf"));
  int64_t last = 0;
  const int64_t bytes = bundle::write_folder_model(opened, folder_.path("back"), DType::kF32,
                                                   [&](int64_t done, int64_t total) {
                                                     EXPECT_GT(done, last);
                                                     EXPECT_LE(done, total);
                                                     last = done;
                                                   });
  EXPECT_EQ(last, bytes);
  const Tensors found = read_tensors(folder_.path("back")), wanted = read_tensors(model_.path());
  ASSERT_EQ(found.size(), wanted.size());
  for (const auto& [name, tensor] : wanted) {
    EXPECT_TRUE(same_bytes(found.at(name), tensor)) << name;
  }
  EXPECT_EQ(described(Bundle::open(folder_.path("back")).config()), described(model_.config()));
}

// Each matrix is what its type makes of it; a quantised file is about as small as its type says.
TEST_P(GgufModel, QuantisedByTensor) {
  const Tensors wanted = parameters_of(model_);
  for (const char* mix : {"q8_0", "q4_0", "bf16", "q4_k_m"}) {
    const std::string path = folder_.path(std::string(mix) + ".gguf");
    to_gguf(model_, path, mix);
    const Bundle opened = Bundle::open(path);
    const Tensors found = parameters_of(opened);
    const bundle::Weights weights = opened.open_weights();
    std::set<DType> types;
    for (const models::WeightRule& rule : weights.rules()) {
      const DType dtype = weights.entry(rule.tensor).dtype;
      types.insert(dtype);
      for (const std::string& name : rule.parameters) {
        const Tensor& before = wanted.at(name);
        EXPECT_TRUE(same_bytes(found.at(name), before.to(dtype).to(DType::kF32)))
            << mix << " " << name;
        if (before.shape().rank() == 1) {
          EXPECT_EQ(dtype, DType::kF32) << name;
        }
      }
    }
    EXPECT_GE(types.size(), 2u) << mix;  // vectors are f32
    // Once more from quantised to quantised: the tokenizer's keys are the same.
    to_gguf(opened, folder_.path("again.gguf"), mix);
    EXPECT_EQ(
        formats::GgufReader(folder_.path("again.gguf")).metadata().texts("tokenizer.ggml.tokens"),
        opened.gguf()->metadata().texts("tokenizer.ggml.tokens"));
  }
}

INSTANTIATE_TEST_SUITE_P(Models, GgufModel, ::testing::Values("gpt2", "llama", "llama2", "mixtral"),
                         [](const auto& model) { return std::string(model.param); });

class GgufFault : public ::testing::Test {
 protected:
  // The message for the llama fixture's file with keys and tensors changed.
  std::string fault(const std::function<void(formats::GgufMetadata&)>& change_keys,
                    const std::function<void(std::vector<formats::TensorSpec>&)>& change = {}) {
    const std::string path = folder_.path("m.gguf");
    const Bundle model = Bundle::open(model_folder(model_));
    to_gguf(model, folder_.path("right.gguf"), "f32");
    const formats::GgufReader file(folder_.path("right.gguf"));
    formats::GgufMetadata keys;
    change_keys(keys);
    for (const auto& [key, value] : file.metadata().entries()) {
      if (!keys.contains(key)) keys.add(key, value);
    }
    std::vector<formats::TensorSpec> tensors;
    for (const std::string& name : file.names()) tensors.push_back(file.entry(name));
    if (change) change(tensors);
    formats::write_gguf(path, keys, tensors,
                        [&](const formats::TensorSpec& spec, const formats::WriteBytes& write) {
                          write(std::vector<std::byte>(
                              static_cast<size_t>(bytes_of(spec.dtype, spec.shape.elements()))));
                        });
    const std::string message = error_of([&] { parameters_of(Bundle::open(path)); });
    const size_t at = message.find(path);
    return at == std::string::npos ? message : message.substr(at + path.size() + 2);
  }

  TempDir folder_;
  std::string model_ = "llama2";
};

TEST_F(GgufFault, ScalingBesideThatOfLlama3) {
  model_ = "llama";  // with rope_freqs.weight
  EXPECT_EQ(
      fault([](auto& keys) {
        keys.set("llama.rope.scaling.type", "linear");
        keys.set_f32("llama.rope.scaling.factor", 4);
      }),
      "llama.rope.scaling.type 'linear' (factor 4) beside rope_freqs.weight is not supported");
}

TEST_F(GgufFault, Keys) {
  EXPECT_EQ(fault([](auto&) {}), "(no error)");
  EXPECT_EQ(fault([](auto& keys) {
              keys.set_i32s("llama.attention.head_count_kv", {4, 4});
            }),
            "(no error)");
  EXPECT_EQ(fault([](auto& keys) {
              keys.set_i32s("llama.attention.head_count_kv", {4, 2});
            }),
            "llama.attention.head_count_kv is an array of i32, wanted an integer, or one for each "
            "layer, all equal");
  EXPECT_EQ(fault([](auto& keys) {
              keys.set_f32("llama.attention.layer_norm_rms_epsilon", std::nan(""));
            }),
            "llama.attention.layer_norm_rms_epsilon is nan, wanted a finite number");
  EXPECT_THAT(fault([](auto& keys) { keys.set("general.architecture", "mamba"); }),
              HasSubstr("architecture 'mamba' is not known; known are "));
  EXPECT_EQ(fault([](auto& keys) { keys.set_f32("llama.attention.clamp_kqv", 8); }),
            "key 'llama.attention.clamp_kqv' (= 8) is not understood");
  EXPECT_EQ(fault([](auto& keys) { keys.set("llama.block_count", "two"); }),
            "llama.block_count is string, wanted an integer");
  EXPECT_EQ(fault([](auto& keys) { keys.set_u32("llama.rope.dimension_count", 8); }),
            "llama.rope.dimension_count is 8, wanted the head's size 16");
  EXPECT_THAT(fault([](auto& keys) { keys.set_u32("llama.block_count", 1900); }),
              HasSubstr("llama.block_count is 1900, but the file has only "));
  // What llama.cpp would compute and this program would not.
  EXPECT_EQ(fault([](auto& keys) { keys.set_f32("llama.rope.scaling.attn_factor", 1.5f); }),
            "llama.rope.scaling.attn_factor 1.5 is supported with yarn and longrope only");
  EXPECT_THAT(fault([](auto& keys) { keys.set("llama.rope.scaling.type", "wobble"); }),
              HasSubstr("llama.rope.scaling.type 'wobble' is not supported; supported are none"));
  EXPECT_EQ(fault([](auto& keys) {
              keys.set_u32("llama.attention.key_length", 0);
              keys.set_u32("llama.rope.dimension_count", 0);
            }),
            "llama.embedding_length, attention.head_count and attention.key_length make heads of "
            "size 0, wanted 1 or more");
}

TEST_F(GgufFault, Tensors) {
  EXPECT_EQ(fault([](auto&) {},
                  [](auto& tensors) {
                    std::erase_if(tensors,
                                  [](const auto& t) { return t.name == "blk.1.ffn_up.weight"; });
                  }),
            "the weights do not match the metadata: tensor 'blk.1.ffn_up.weight' [176, 64] is "
            "missing");
  EXPECT_EQ(fault([](auto&) {},
                  [](auto& tensors) {
                    tensors.push_back({"extra", DType::kF32, {1}});
                  }),
            "the weights do not match the metadata: tensor 'extra' [1] belongs to no parameter");
}

TEST(GgufNames, WhatHasNoName) {
  EXPECT_EQ(bundle::gguf_tensor_name("layers.12.mlp.experts.down.weight"),
            "blk.12.ffn_down_exps.weight");
  EXPECT_EQ(error_of([] { bundle::gguf_tensor_name("layers.1.new_thing.weight"); }),
            "gguf: parameter 'layers.1.new_thing.weight' has no name there");
}

TEST(RopeDivisors, TellTheConfig) {
  models::RopeConfig rope;
  rope.scaling = models::RopeScaling::kLlama3;
  rope.low_freq_factor = 1;
  for (const auto& [dim, theta, factor, high, original] : {std::tuple{128, 5e5, 8.0, 4.0, 8192},
                                                           {64, 5e5, 32.0, 4.0, 8192},
                                                           {16, 5e5, 8.0, 4.0, 64},
                                                           {80, 1e4, 4.0, 2.5, 4096}}) {
    rope.rotary_dim = dim;
    rope.theta = theta;
    rope.factor = factor;
    rope.high_freq_factor = high;
    rope.original_max_positions = original;
    const std::vector<float> divisors = bundle::rope_divisors(rope);
    const auto found = bundle::rope_of_divisors(divisors, theta);
    ASSERT_TRUE(found.has_value()) << dim;
    const std::vector<float> again = bundle::rope_divisors(*found);
    for (size_t i = 0; i < divisors.size(); ++i)
      EXPECT_NEAR(again[i], divisors[i], 1e-4 * divisors[i]);
  }
  EXPECT_FALSE(bundle::rope_of_divisors(std::vector<float>{1, 3, 2, 8, 1}, 1e4).has_value());
  EXPECT_EQ(bundle::rope_of_divisors(std::vector<float>{1, 1, 1}, 1e4)->scaling,
            models::RopeScaling::kDefault);
}

}  // namespace
}  // namespace ashlar::testing
