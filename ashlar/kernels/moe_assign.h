// Where the rows of a mixture of experts go: rows sorted by expert, those of an expert in the order
// of their tokens; with a capacity, which pairs (token, choice) are dropped. Whole numbers only:
// the same on every tier, so no kernel of the table.
#pragma once

#include <cstdint>
#include <span>

namespace ashlar::kernels {

// Most pairs an expert takes of `tokens` tokens: ceil(k tokens / experts * factor) (GShard,
// Lepikhin et al. 2020); no limit where factor is 0.
int64_t moe_capacity(int64_t tokens, int64_t experts, int64_t top_k, double factor);

// Tokens that follow each other in the batch: token `local` of those at hand is token `first`.
struct TokenRun {
  int64_t first = 0, local = 0, count = 0;
};

struct MoeAssignSpec {
  int64_t tokens = 0, experts = 0, top_k = 0;
  int64_t capacity = 0;  // pairs of an expert; 0: no limit
  // GShard's random second choice: kept when u < 2 weight, u uniform in [0, 1), drawn by
  // philox4x32 under `key`, element first_token + t of `step`, t the token's place in the batch.
  bool random_second = false;
  uint64_t key = 0, step = 0, first_token = 0;
  // Where the tokens at hand are some of a batch's: their runs, in order; empty: one run, from 0.
  std::span<const TokenRun> runs = {};
  // [runs,k,E] how many pairs that would take a row stand before the run's, by choice and expert;
  // null: none but the run's own. Ends as those before the next run of the batch.
  int32_t* before = nullptr;
};

// A pair t k + c is choice c of token t.
struct MoeAssignment {
  int32_t* slots = nullptr;    // [T,k] the pair's row; -1: dropped
  int32_t* sources = nullptr;  // [T k] the row's pair; -1: a row without one, after all others
  int32_t* offsets = nullptr;  // [E+1] rows offsets[e] .. offsets[e+1] are expert e's
};

// How many pairs of each run would take a row: counts [runs,k,E], what `before` sums up.
void moe_count(const MoeAssignSpec& spec, const int32_t* chosen, const float* weights,
               int32_t* counts);

// chosen [T,k]; weights [T,k], read for the random second choice only. Full experts turn pairs
// away in the order first choices of all tokens, second choices, ...: a first choice never yields
// to a second one.
void moe_assign(const MoeAssignSpec& spec, const int32_t* chosen, const float* weights,
                const MoeAssignment& out);

// Whether token t of the batch keeps a second choice of this weight.
bool keeps_second(const MoeAssignSpec& spec, int64_t t, double weight);

}  // namespace ashlar::kernels
