// Byte-pair merging against its definition, and the work it takes.
#include "ashlar/text/models/bpe_merges.h"
#include "ashlar/text/models/model.h"
#include "ashlar/text/tokenizer.h"
#include "tests/text/random_text.h"

#include <gtest/gtest.h>

namespace ashlar::text {
namespace {

using Symbols = std::vector<int32_t>;

// The rule as it is written: again and again the leftmost pair of lowest rank.
void merge_naively(const MergeTable& table, Symbols& symbols) {
  while (true) {
    MergeTable::Merge best;
    size_t where = 0;
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto merge = table.find(symbols[i], symbols[i + 1]);
      if (merge.rank < best.rank) {
        best = merge;
        where = i;
      }
    }
    if (best.rank == kNoRank) return;
    symbols[where] = best.id;
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(where) + 1);
  }
}

// Random merges over `base` symbols; token ids are their order.
MergeTable random_merges(RandomText& random, int32_t base, int32_t merges) {
  MergeTable table(static_cast<size_t>(merges));
  for (int32_t i = 0; i < merges; ++i) {
    const auto any = [&] { return static_cast<int32_t>(random.below(uint64_t(base + i))); };
    table.set(any(), any(), {static_cast<uint32_t>(random.below(1000)), base + i});
  }
  return table;
}

TEST(WordMerger, EqualsTheRuleOnRandomTables) {
  RandomText random("merges");
  WordMerger merger;
  for (int round = 0; round < 300; ++round) {
    const MergeTable table = random_merges(random, 3, 20);
    for (const uint64_t length : {0, 1, 2, 3, 31, 32, 33, 34, 80, 200}) {
      Symbols symbols;
      for (uint64_t i = 0; i < length; ++i)
        symbols.push_back(static_cast<int32_t>(random.below(3)));
      Symbols expected = symbols;
      merge_naively(table, expected);
      merger.merge(table, symbols);
      ASSERT_EQ(symbols, expected) << "round " << round << " length " << length;
    }
  }
}

TEST(WordMerger, WorkGrowsWithTheWordNotItsSquare) {
  RandomText random("work");
  const MergeTable table = random_merges(random, 4, 200);
  const auto steps = [&](size_t length) {
    WordMerger merger;
    Symbols symbols;
    for (size_t i = 0; i < length; ++i) symbols.push_back(static_cast<int32_t>(i * i % 7 % 4));
    merger.merge(table, symbols);
    return merger.steps();
  };
  // Every symbol enters the heap once and every merge brings at most two entries more.
  for (const size_t length : {1000u, 10000u, 1000000u}) EXPECT_LE(steps(length), 3 * length);
}

TEST(MergeTable, TheLaterOfTwoEqualPairsCounts) {
  MergeTable table(2);
  table.set(1, 2, {0, 7});
  table.set(1, 2, {5, 8});
  EXPECT_EQ(table.find(1, 2).rank, 5u);
  EXPECT_EQ(table.find(1, 2).id, 8);
  EXPECT_FALSE(table.contains(2, 1));
}

// Merges reach across some pairs of letters only, so long pieces are cut. Whole and cut must agree.
TEST(Bpe, CuttingLongPiecesChangesNoToken) {
  const std::string json = R"({"type": "BPE", "unk_token": "?", "fuse_unk": true, "vocab": {
    "a": 0, "b": 1, "c": 2, " ": 3, "ab": 4, " a": 5, "abab": 6, "?": 7, " ab": 8, "cc": 9,
    "bc": 10}, "merges": ["a b", ["ab", "ab"], [" ", "ab"], ["c", "c"], "b c", [" ", "a"]]})";
  const JsonDocument document(json, "test");
  const auto model = make_model(document.root());
  const auto scratch = model->make_scratch();
  MergeTable table(6);
  table.set(0, 1, {0, 4});
  table.set(4, 4, {1, 6});
  table.set(3, 4, {2, 8});
  table.set(2, 2, {3, 9});
  table.set(1, 2, {4, 10});
  table.set(3, 0, {5, 5});
  RandomText random("cutting");
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    Symbols expected;
    for (uint64_t left = random.below(120); left > 0; --left) {
      const uint64_t letter = random.below(5);
      text += "abc x"[letter];
      if (letter < 4) {
        expected.push_back(static_cast<int32_t>(letter));
      } else if (expected.empty() || expected.back() != 7) {
        expected.push_back(7);  // unknown characters in a row are one token
      }
    }
    merge_naively(table, expected);
    Symbols ids;
    if (!text.empty()) model->tokenize(text, Alphabet::kText, *scratch, ids);
    ASSERT_EQ(ids, expected) << text;
  }
}

TEST(Bpe, IgnoreMergesTakesWholeTokens) {
  const JsonDocument document(
      R"({"type": "BPE", "ignore_merges": true, "vocab": {"a": 0, "b": 1, "ab": 2, "aba": 3},
          "merges": ["a b"]})",
      "test");
  const auto model = make_model(document.root());
  const auto scratch = model->make_scratch();
  Symbols ids;
  for (const char* piece : {"aba", "abab", "aba"}) {
    model->tokenize(piece, Alphabet::kText, *scratch, ids);
  }
  EXPECT_EQ(ids, (Symbols{3, 2, 2, 3}));
}

TEST(Bpe, AffixesAndUnknownCharacters) {
  const JsonDocument document(
      R"({"type": "BPE", "unk_token": "?", "continuing_subword_prefix": "#",
          "end_of_word_suffix": "$", "vocab": {"?": 0, "a": 1, "#b": 2, "#c$": 3, "ab": 4,
          "abc$": 5, "a$": 6}, "merges": [["a", "#b"], ["ab", "#c$"]]})",
      "test");
  const auto model = make_model(document.root());
  const auto scratch = model->make_scratch();
  const auto ids_of = [&](const char* piece) {
    Symbols ids;
    model->tokenize(piece, Alphabet::kText, *scratch, ids);
    return ids;
  };
  EXPECT_EQ(ids_of("abc"), (Symbols{5}));
  EXPECT_EQ(ids_of("a"), (Symbols{6}));
  EXPECT_EQ(ids_of("abx"), (Symbols{4, 0}));
  EXPECT_EQ(ids_of("xy"), (Symbols{0, 0}));
}

}  // namespace
}  // namespace ashlar::text
