// Masked language models (BERT, Devlin et al. 2019): of a row some tokens are hidden, and they are
// what is learned. Of those chosen most become the mask token, some a random one, and the rest stay
// as they are, as transformers' DataCollatorForLanguageModeling has it. Which ones is a function of
// the seed, the row's number and the place in it: every epoch hides others.
#pragma once

#include "ashlar/data/batch.h"

#include <cstdint>
#include <vector>

namespace ashlar::data {

struct Masking {
  double probability = 0.15;        // of a token to be chosen
  double mask = 0.8, random = 0.1;  // shares of those that become the mask token, a random one
  int32_t mask_token = 0;
  int64_t vocab = 0;                  // random tokens are below that
  std::vector<int32_t> special = {};  // never chosen; rising

  // Hides tokens of row number `at` of the batch, whose targets are its tokens (negative: does not
  // count); of others the targets become -1. row: its number, from the start of training. Returns
  // how many are hidden.
  int64_t hide(uint64_t seed, int64_t row, Batch& batch, int64_t at) const;
};

struct SeededMasking {
  Masking masking;
  uint64_t seed = 0;
};

}  // namespace ashlar::data
