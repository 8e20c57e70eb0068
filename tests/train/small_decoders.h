// Small models of the families, in sizes that divide over ranks.
#pragma once

#include "ashlar/models/decoder_config.h"

#include <vector>

namespace ashlar::train::testing {

models::DecoderConfig small_llama();    // grouped queries, SwiGLU, rotary
models::DecoderConfig small_mixtral();  // four experts, two a token, balanced
models::DecoderConfig small_gpt2();     // tied head, biases, learned positions, layer norm

// LLaMA, whose keys have as many heads as queries where more than two ranks share them, and GPT-2.
std::vector<models::DecoderConfig> small_models(int ranks_of_heads);

}  // namespace ashlar::train::testing
