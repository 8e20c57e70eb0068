// tokenizer.model: SentencePiece's own file, a protocol-buffer message ModelProto. Pieces, scores
// and kinds are those of GGUF, which took them over, so it is read as that metadata.
#pragma once

#include "ashlar/formats/gguf_metadata.h"

#include <string>
#include <string_view>

namespace ashlar::bundle {

// Throws Error naming the file for a message that is cut short or is of a model type not known.
formats::GgufMetadata parse_sentencepiece_model(std::string_view bytes, const std::string& where);

}  // namespace ashlar::bundle
