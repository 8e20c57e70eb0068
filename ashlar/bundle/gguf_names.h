// Names of tensors in GGUF files: the same for all families, by the parameters that a tensor holds.
#pragma once

#include "ashlar/bundle/gguf_families.h"
#include "ashlar/formats/gguf.h"
#include "ashlar/models/family.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ashlar::bundle {

// "blk.3.attn_q.weight" for "layers.3.attn.q.weight". Throws Error for a parameter without
// counterpart.
std::string gguf_tensor_name(std::string_view parameter);

// The rules of a model's parameters under GGUF's names: matrices [outputs, inputs], experts in one.
// merged_qkv: queries, keys and values lie in one tensor; files of one family differ in that.
std::vector<models::WeightRule> gguf_rules(const models::DecoderConfig& config, bool merged_qkv);

// `prefix`block_count of a file. Throws Error for a number of layers that no model has.
int64_t layer_count(const formats::GgufMetadata& metadata, const std::string& prefix);

// Before names are made for what a few bytes may claim: throws Error where the file has fewer
// tensors than ARCHITECTURE.block_count has layers.
void check_layers(const formats::GgufReader& file, std::string_view architecture, int64_t layers);

}  // namespace ashlar::bundle
