// The characters that BERT's tokenizer treats otherwise than their Unicode 16 category says,
// because the reference's tables are older: generated, see tests/oracles/bert_tables.py.
#pragma once

#include "ashlar/text/unicode/char_runs.h"

#include <span>

namespace ashlar::text {

std::span<const CharRun> bert_kept_formats();   // Cf that clean_text keeps
std::span<const CharRun> bert_kept_marks();     // Mn that strip_accents keeps
std::span<const CharRun> bert_dropped_marks();  // no Mn, yet strip_accents drops it

std::span<const CharRun> bert_no_punctuation();    // P, yet BertPreTokenizer does not cut there
std::span<const CharRun> bert_also_punctuation();  // the other way round, beyond ASCII

}  // namespace ashlar::text
