// The model a run starts with, as the configuration names it: one to go on from, or a new one of
// given sizes; with its tokenizer and the files that make a folder of weights a whole model.
#pragma once

#include "ashlar/bundle/bundle.h"
#include "ashlar/data/masking.h"
#include "ashlar/data/tokenizer_encoder.h"
#include "ashlar/graph/graph.h"
#include "ashlar/models/decoder_config.h"
#include "ashlar/runtime/variable_store.h"
#include "ashlar/train/config.h"

#include <map>
#include <optional>
#include <string>

namespace ashlar::train {

struct ModelSource {
  models::DecoderConfig config;  // as checkpoints will say it, dropout rates included
  data::TokenizerEncoder encoder;
  std::map<std::string, std::string> text_files;  // tokenizer.json and the like
  std::optional<bundle::Bundle> from;             // the weights to start with
};

// Throws Error or UsageError naming the key. train.dropout goes over all three of the model's
// rates.
ModelSource open_model_source(const TrainConfig& config);

// What is hidden where the model is an encoder. Throws Error where its tokenizer has no mask token.
std::optional<data::Masking> masking_of(const models::DecoderConfig& model,
                                        const data::TokenizerEncoder& encoder,
                                        const MaskSection& mask);

// The configuration of that model alone. A new one whose model.vocab is given needs no tokenizer.
models::DecoderConfig model_config(const TrainConfig& config);

// The tokenizer of a model (folder, GGUF file, name) or a tokenizer.json, ready to encode
// documents.
data::TokenizerEncoder open_encoder(const std::string& name);

// The model's weights, into the graph's parameters, or a rank's parts of them. Returns how many
// bytes of the weights were read.
int64_t load_parameters(const bundle::Bundle& model, const graph::Graph& graph,
                        runtime::VariableStore& store);

}  // namespace ashlar::train
