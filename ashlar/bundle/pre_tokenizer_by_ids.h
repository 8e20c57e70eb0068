// Which of GGUF's pre-tokenizers stands for one of tokenizer.json that none is spelt like.
#pragma once

#include "ashlar/bundle/gguf_tokenizer.h"
#include "ashlar/text/tokenizer.h"

namespace ashlar::bundle {

// One that cuts sample_texts() as the tokenizer, of byte-level BPE, does; else one with which its
// vocabulary gives the same ids for them; of several, the one that gives most of its
// vocabulary_texts() the same ids. nullptr where there is none. Seconds for a large vocabulary.
const PreTokenizerPatterns* find_pre_tokenizer_by_ids(const text::Tokenizer& tokenizer,
                                                      bool ignore_merges);

}  // namespace ashlar::bundle
