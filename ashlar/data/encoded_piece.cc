#include "ashlar/data/encoded_piece.h"

#include "ashlar/base/error.h"
#include "ashlar/base/utf8.h"
#include "ashlar/data/example.h"

#include <algorithm>
#include <string>

namespace ashlar::data {
namespace {

// A piece of a text file. Its tokens all count.
void encode_text(const Piece& piece, const Encoder& encoder, BadUtf8 bad_utf8, EncodedPiece& out) {
  std::string_view text = piece.text;
  std::string repaired;
  if (const size_t valid = valid_utf8_prefix(text); valid < text.size()) {
    if (bad_utf8 == BadUtf8::kRefuse) {
      const auto lines = std::ranges::count(text.substr(0, valid), '\n');
      fail("{}:{}: not UTF-8 (byte 0x{:02x}); convert the file, or set data.bad_utf8=replace",
           piece.file->path, piece.line + lines, static_cast<unsigned char>(text[valid]));
    }
    append_repaired_utf8(repaired, text);
    text = repaired;
  }
  const int32_t end = encoder.document_end();
  if (piece.begins) {
    out.starts.push_back(0);
    const auto begin = encoder.document_begin();
    out.tokens.assign(begin.begin(), begin.end());
  }
  const size_t first = out.tokens.size();
  encoder.encode(text, out.tokens);
  if (end < 0) return;
  for (size_t i = first; i < out.tokens.size(); ++i) {
    const bool last = piece.ends && i + 1 == out.tokens.size();
    if (out.tokens[i] == end && !last) out.starts.push_back(static_cast<int64_t>(i + 1));
  }
  if (piece.ends && (out.tokens.empty() || out.tokens.back() != end)) out.tokens.push_back(end);
}

void encode_example(const Example& example, const Encoder& encoder, EncodedPiece& out) {
  if (std::ranges::all_of(example.segments, [](const Segment& s) { return s.text.empty(); })) {
    return;  // {"text": ""} is no document
  }
  out.starts.push_back(static_cast<int64_t>(out.tokens.size()));
  if (!example.framed) {
    for (const int32_t token : encoder.document_begin()) out.tokens.push_back(token);
  }
  // The tokens that open a document count like the text they open.
  const auto count = [&out](bool counted) { out.counted.resize(out.tokens.size(), counted); };
  count(example.segments.front().counted);
  for (const Segment& segment : example.segments) {
    encoder.encode(segment.text, out.tokens);
    count(segment.counted);
    out.text_bytes += static_cast<int64_t>(segment.text.size());
  }
  const int32_t end = encoder.document_end();
  if (!example.framed && end >= 0 && out.tokens.back() != end) {
    out.tokens.push_back(end);
    count(true);
  }
}

}  // namespace

void EncodedPiece::clear() {
  tokens.clear();
  counted.clear();
  starts.clear();
  text_bytes = 0;
}

void encode_piece(const Piece& piece, const Encoder& encoder, BadUtf8 bad_utf8, EncodedPiece& out) {
  out.clear();
  if (piece.file->kind == FileKind::kText) {
    encode_text(piece, encoder, bad_utf8, out);
    out.text_bytes = static_cast<int64_t>(piece.text.size());
    return;
  }
  for (const Example& example : parse_example(piece.text, encoder, piece.where())) {
    encode_example(example, encoder, out);
  }
  if (std::ranges::find(out.counted, 0) == out.counted.end()) out.counted.clear();
}

}  // namespace ashlar::data
