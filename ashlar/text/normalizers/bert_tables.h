// The characters that BERT's clean-up treats otherwise than their Unicode 16 category says, because
// the reference's tables are older: generated, see tests/text/bert_table.py.
#pragma once

#include <span>

namespace ashlar::text {

struct CharRun {
  char32_t first, last;
};

std::span<const CharRun> bert_kept_formats();   // Cf that clean_text keeps
std::span<const CharRun> bert_kept_marks();     // Mn that strip_accents keeps
std::span<const CharRun> bert_dropped_marks();  // no Mn, yet strip_accents drops it

}  // namespace ashlar::text
