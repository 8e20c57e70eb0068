// Fits a Unigram model's pieces to counted words: expectation and maximisation of the probability
// of all ways to cut the words (Kudo, "Subword Regularization", 2018), and pruning of the pieces
// whose loss costs least. Characters always stay, so that every word can be cut.
#pragma once

#include "ashlar/text/training/unigram_seed.h"

#include <cstddef>
#include <vector>

namespace ashlar::text {

// One step: scores as the words ask for; pieces that hardly occur are dropped, but for the most
// frequent of them where fewer than `least` would be left.
void fit_scores(const std::vector<CountedWord>& words, std::vector<ScoredPiece>& pieces,
                size_t least = 0);

// Keeps `wanted` pieces (all characters, even if they are more): those without which the likeliest
// cuts of the words would lose most. What no likeliest cut uses goes too, but for the likeliest of
// them where fewer than `least` would be left: other words may be made of them.
void prune_pieces(const std::vector<CountedWord>& words, std::vector<ScoredPiece>& pieces,
                  size_t wanted, size_t least = 0);

}  // namespace ashlar::text
