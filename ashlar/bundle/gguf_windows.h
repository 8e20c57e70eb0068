// Windows of layers in GGUF files: one size, and which layers have it.
#pragma once

#include "ashlar/bundle/gguf_families.h"

#include <string>

namespace ashlar::bundle {

inline constexpr std::string_view kGgufWindowKeys[] = {"attention.sliding_window",
                                                       "attention.sliding_window_pattern"};

// As config.json has them, for a model of so many layers.
ConfigKeys read_gguf_windows(const GgufFacts& facts, const GgufWindows& form,
                             const std::string& prefix);
void write_gguf_windows(const models::DecoderConfig& config, const GgufFamily& family,
                        const std::string& prefix, formats::GgufMetadata& metadata);

}  // namespace ashlar::bundle
