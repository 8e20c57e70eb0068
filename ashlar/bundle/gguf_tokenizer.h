// The tokenizer inside a GGUF file, as the tokenizer.json that gives the same ids: models gpt2
// (byte-level BPE, cut by the pattern its tokenizer.ggml.pre names), gemma4, llama (SentencePiece
// BPE), bert (WordPiece) and t5 (Unigram). Ids are those of llama.cpp.
#pragma once

#include "ashlar/formats/gguf_metadata.h"
#include "ashlar/text/chat_template.h"

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ashlar::bundle {

class Bundle;

// Of a SentencePiece model that is read as such metadata: values of tokenizer.ggml.model and a key
// that GGUF itself does not have.
inline constexpr const char* kWords = "sentencepiece.word";
inline constexpr const char* kChars = "sentencepiece.char";
inline constexpr const char* kSpaceAsSuffix = "sentencepiece.treat_whitespace_as_suffix";
// A space goes before what follows an added token too, not before the whole text alone: `legacy` of
// tokenizer_config.json.
inline constexpr const char* kSpaceBehindTokens = "sentencepiece.space_behind_tokens";

bool has_tokenizer(const formats::GgufMetadata& metadata);

// Throws Error naming file and key for what is missing, contradictory or not known.
std::string tokenizer_json(const formats::GgufMetadata& metadata);

// The tokenizer of a model as metadata, for a file that is written: from tokenizer.json, or as it
// is from another GGUF file. Ids beyond the vocabulary, which models pad, become unused tokens.
// Throws Error for what GGUF has no words for. A model without tokenizer adds "none".
void describe_tokenizer(const Bundle& model, formats::GgufMetadata& metadata);

// Whether general.name says Phi 3: there, and nowhere else, llama.cpp takes the spaces behind a
// special token into it.
bool says_phi3(std::string name);

// tokenizer.chat_template and its named siblings, and the special tokens by role.
text::ChatFiles gguf_chat_files(const formats::GgufMetadata& metadata);

// One way of cutting text into words before BPE: patterns one after the other.
struct PreTokenizerPatterns {
  std::string_view name;  // one of tokenizer.ggml.pre
  std::vector<std::string_view> patterns;
  bool ignore_merges = false;  // a word that is a token is taken whole
  bool add_bos = false;        // where the file does not say
};
// nullptr for a name that is not known.
const PreTokenizerPatterns* find_pre_tokenizer(std::string_view name);
// One that cuts alike; nullptr where none does.
const PreTokenizerPatterns* find_pre_tokenizer(const std::vector<std::string>& patterns,
                                               bool ignore_merges);
std::string known_pre_tokenizers();
// All of them; names that cut alike follow each other.
std::span<const PreTokenizerPatterns> all_pre_tokenizers();
// Its steps as tokenizer.json has them.
std::string pre_tokenizer_json(const PreTokenizerPatterns& pre);

}  // namespace ashlar::bundle
