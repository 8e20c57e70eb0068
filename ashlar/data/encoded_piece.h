// The tokens of one piece of a document: what the worker threads make of it.
#pragma once

#include "ashlar/data/document_reader.h"
#include "ashlar/data/encoder.h"

#include <cstdint>
#include <vector>

namespace ashlar::data {

enum class BadUtf8 : uint8_t { kRefuse, kReplace };

struct EncodedPiece {
  std::vector<int32_t> tokens;
  std::vector<uint8_t> counted;  // one a token, or empty: all count
  // Where in tokens documents start; their number, where the next piece starts one.
  std::vector<int64_t> starts;
  int64_t text_bytes = 0;

  void clear();
};

// Adds the tokens that open and close a document where it does. An end-of-document token inside the
// text ends a document too. Throws Error with file and line.
void encode_piece(const Piece& piece, const Encoder& encoder, BadUtf8 bad_utf8, EncodedPiece& out);

}  // namespace ashlar::data
