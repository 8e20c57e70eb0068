// Small models of the families, in sizes that divide over ranks.
#pragma once

#include "ashlar/models/decoder_config.h"

namespace ashlar::train::testing {

models::DecoderConfig small_llama();    // grouped queries, SwiGLU, rotary
models::DecoderConfig small_mixtral();  // four experts, two a token, balanced
models::DecoderConfig small_gpt2();     // tied head, biases, learned positions, layer norm

}  // namespace ashlar::train::testing
