// What becomes of spaces around SentencePiece's models, in the words of tokenizer.json:
// gguf_tokenizer.cc writes it, gguf_unigram.cc knows it again.
#pragma once

namespace ashlar::bundle {

inline constexpr const char* kSpace = "\xE2\x96\x81";  // U+2581, the sign of a space in tokens

// Regexes. Spaces at both ends: as SentencePiece, and as llama.cpp takes them away.
inline constexpr const char* kEndsOfOwn = "\\A +|[ \u2581]+\\z";
inline constexpr const char* kEndsOfGguf = "\\A +| +\\z";
inline constexpr const char* kSeveralSpaces = " {2,}";
// Before a text, but not before spaces alone.
inline constexpr const char* kBeforeWords = "\\A(?= *[^ ])";

}  // namespace ashlar::bundle
