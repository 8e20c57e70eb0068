// A model written in the other format, or in other types: HF folders and GGUF files, either way.
// Tensors go through memory one by one, by rows.
#pragma once

#include "ashlar/base/thread_pool.h"
#include "ashlar/bundle/bundle.h"
#include "ashlar/bundle/gguf_embedding.h"
#include "ashlar/bundle/quant_mix.h"

#include <cstdint>
#include <functional>
#include <string>

namespace ashlar::bundle {

// What most weights of the model are, or f32 where that is blocks: what is written unless a type is
// asked for.
DType plain_type(const Bundle& model);

// How many bytes of the target's data have been written, of how many.
using OnConverted = std::function<void(int64_t done, int64_t total)>;

// Both return the bytes of the tensors. Throw Error for what the format cannot hold. embedding: of
// an encoder, or a decoder that embeds. Heads of encoders have no place in GGUF.
int64_t write_gguf_model(const Bundle& model, const std::string& path, const QuantMix& mix,
                         ThreadPool& pool, const OnConverted& on_converted,
                         const GgufEmbedding& embedding = {});
int64_t write_folder_model(const Bundle& model, const std::string& folder, DType dtype,
                           const OnConverted& on_converted);

}  // namespace ashlar::bundle
