// Where a model that was asked for lies: a path as it is, or ORG/NAME or NAME (with @REVISION)
// in the Hugging Face cache: $HF_HUB_CACHE (or $HUGGINGFACE_HUB_CACHE), $HF_HOME/hub,
// $XDG_CACHE_HOME/huggingface/hub or
// ~/.cache/huggingface/hub, in which models--ORG--NAME/refs/main names the snapshot. Nothing is
// downloaded.
#pragma once

#include <string>
#include <string_view>

namespace ashlar::bundle {

// A folder with a config.json, or a GGUF file: of a folder that holds just one of those, that one.
// What is found nowhere is given back as it is.
std::string find_model(const std::string& path);

// What the model at a path that find_model found is called: its file or folder, or NAME of the
// cache.
std::string model_name(const std::string& path);

// For messages: what the cache lacks of a model that find_model did not find.
std::string why_not_cached(const std::string& name);

// A file that comes with a model: in its folder, or beside its GGUF file.
std::string beside_model(const std::string& path, std::string_view name);

}  // namespace ashlar::bundle
