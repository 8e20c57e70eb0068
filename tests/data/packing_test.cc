// Rows of tokens: what is read and predicted, where documents end, what best fit does.
#include "ashlar/data/best_fit.h"
#include "ashlar/data/packed_rows.h"
#include "tests/base/messages.h"
#include "tests/base/temp_dir.h"
#include "tests/data/token_sets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <random>
#include <set>

namespace ashlar::data {
namespace {

using ashlar::testing::error_of;
using testing::Document;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::TokenSets;

Batch build(const PackedRows& rows, int64_t seq, int64_t first, int64_t count) {
  Batch batch;
  batch.rows = count;
  batch.seq = seq;
  const auto size = static_cast<size_t>(count * seq);
  batch.tokens.assign(size, -9);
  batch.targets.assign(size, -9);
  batch.positions.assign(size, -9);
  for (int64_t i = 0; i < count; ++i) rows.build(first + i, batch, i);
  batch.row_start.push_back(static_cast<int32_t>(size));
  return batch;
}
Batch build_all(const PackedRows& rows, int64_t seq) { return build(rows, seq, 0, rows.rows()); }

// Positions are 0, 1, 2, ... in each sequence; no sequence crosses a row.
void check_sequences(const Batch& batch) {
  EXPECT_EQ(batch.row_start.front(), 0);
  for (size_t s = 0; s + 1 < batch.row_start.size(); ++s) {
    const int32_t begin = batch.row_start[s], end = batch.row_start[s + 1];
    ASSERT_LT(begin, end);
    EXPECT_EQ(begin / batch.seq, (end - 1) / batch.seq);
    for (int32_t i = begin; i < end; ++i) EXPECT_EQ(batch.positions[size_t(i)], i - begin);
  }
}

void check_counts(const PackedRows& rows, int64_t seq) {
  for (int64_t r = 0; r < rows.rows(); ++r) {
    const Batch row = build(rows, seq, r, 1);
    EXPECT_EQ(rows.valid_tokens(r),
              std::ranges::count_if(row.targets, [](int t) { return t >= 0; }))
        << "row " << r;
  }
}

class PackingTest : public ::testing::Test {
 protected:
  TokenSets sets_;
};

TEST_F(PackingTest, AStreamIsCutWithoutLossOrRepeat) {
  const TokenSet set = sets_.make({{{1, 2, 3, 4}, {}}, {{5, 6, 7}, {}}});
  const auto rows = pack_stream(set, {.seq = 4});
  ASSERT_EQ(rows->rows(), 2);
  const Batch batch = build_all(*rows, 4);
  EXPECT_THAT(batch.tokens, ElementsAre(1, 2, 3, 4, 5, 6, 99, 99));
  EXPECT_THAT(batch.targets, ElementsAre(2, 3, 4, 5, 6, 7, -1, -1));
  EXPECT_THAT(batch.row_start, ElementsAre(0, 4, 6, 8));  // padding is a sequence of its own
  check_sequences(batch);
  EXPECT_EQ(rows->valid_tokens(0), 4);
  EXPECT_EQ(rows->valid_tokens(1), 2);
  EXPECT_EQ(rows->report().padding, 0.25);
}

// For many lengths: each token but the first is a target once, each but the last is read once.
TEST_F(PackingTest, EveryTokenExactlyOnce) {
  for (const int64_t tokens : {2, 3, 8, 9, 10, 63, 64, 65, 1000}) {
    const TokenSet set = sets_.counting(tokens, 7);
    for (const int64_t seq : {1, 2, 7, 8, 64}) {
      const auto rows = pack_stream(set, {.seq = seq});
      const Batch batch = build_all(*rows, seq);
      std::vector<int> read, predicted;
      for (size_t i = 0; i < batch.tokens.size(); ++i) {
        if (batch.targets[i] < 0) continue;
        read.push_back(batch.tokens[i]);
        predicted.push_back(batch.targets[i]);
      }
      std::vector<int> expected(static_cast<size_t>(tokens - 1));
      std::iota(expected.begin(), expected.end(), 0);
      EXPECT_EQ(read, expected);
      for (int& token : expected) ++token;
      EXPECT_EQ(predicted, expected);
      check_sequences(batch);
      check_counts(*rows, seq);
    }
  }
}

TEST_F(PackingTest, IsolatedDocumentsAreSequencesOfTheirOwn) {
  const TokenSet set = sets_.make({{{1, 2, 3}, {}}, {{4}, {}}, {{5, 6}, {}}, {{7, 8, 9}, {}}});
  const auto rows = pack_stream(set, {.seq = 4, .isolate = true});
  const Batch batch = build_all(*rows, 4);
  EXPECT_THAT(batch.tokens, ElementsAre(1, 2, 3, 4, 5, 6, 7, 8));
  EXPECT_THAT(batch.targets, ElementsAre(2, 3, -1, -1, 6, -1, 8, 9));
  EXPECT_THAT(batch.positions, ElementsAre(0, 1, 2, 0, 0, 1, 0, 1));
  EXPECT_THAT(batch.row_start, ElementsAre(0, 3, 4, 6, 8));
  check_counts(*rows, 4);
}

// A document that goes on in the next row starts again at position 0 there.
TEST_F(PackingTest, ARowStartsASequenceInsideADocumentToo) {
  const TokenSet set = sets_.make({{{1, 2, 3, 4, 5, 6, 7}, {}}});
  const Batch batch = build_all(*pack_stream(set, {.seq = 3, .isolate = true}), 3);
  EXPECT_THAT(batch.row_start, ElementsAre(0, 3, 6));
  EXPECT_THAT(batch.targets, ElementsAre(2, 3, 4, 5, 6, 7));
}

TEST_F(PackingTest, UncountedTokensAreReadButNotPredicted) {
  const TokenSet set = sets_.make({{{1, 2, 3, 4}, {0, 0, 1, 1}}, {{5, 6}, {0, 1}}});
  const auto stream = pack_stream(set, {.seq = 8});
  EXPECT_THAT(build_all(*stream, 8).targets, ElementsAre(-1, 3, 4, -1, 6, -1, -1, -1));
  check_counts(*stream, 8);
  const auto isolated = pack_stream(set, {.seq = 8, .isolate = true});
  EXPECT_THAT(build_all(*isolated, 8).targets, ElementsAre(-1, 3, 4, -1, 6, -1, -1, -1));
  check_counts(*isolated, 8);
}

TEST_F(PackingTest, WholeDocumentsBestFit) {
  const TokenSet set = sets_.make({{{1, 2, 3}, {0, 1, 1}},  // 2 places
                                   {{4, 5, 6, 7, 8}, {}},   // 4
                                   {{9, 10, 11, 12}, {}},   // 3
                                   {{13, 14}, {}}});        // 1
  const auto rows = pack_documents(set, {.seq = 5});
  ASSERT_EQ(rows->rows(), 2);
  const Batch batch = build_all(*rows, 5);
  EXPECT_THAT(batch.tokens, ElementsAre(4, 5, 6, 7, 13, 9, 10, 11, 1, 2));
  EXPECT_THAT(batch.targets, ElementsAre(5, 6, 7, 8, 14, 10, 11, 12, 2, 3));
  EXPECT_THAT(batch.row_start, ElementsAre(0, 4, 5, 8, 10));
  EXPECT_EQ(rows->report().padding, 0);
  check_sequences(batch);
  check_counts(*rows, 5);
}

TEST_F(PackingTest, LongDocumentsAreCutAndEmptyOnesSkippedAndBothCounted) {
  const TokenSet set = sets_.make({{{1, 2, 3, 4, 5, 6, 7}, {}},  // two tokens too long
                                   {{8, 9, 10, 11, 12, 13}, {0, 0, 0, 0, 0, 1}},  // prompt fills it
                                   {{14}, {}},  // nothing to predict
                                   {{15, 16}, {0, 1}}});
  const auto rows = pack_documents(set, {.seq = 4});
  const PackingReport report = rows->report();
  EXPECT_EQ(report.documents, 4);
  EXPECT_EQ(report.truncated, 1);
  EXPECT_EQ(report.tokens_cut, 2);
  EXPECT_EQ(report.skipped, 2);
  EXPECT_EQ(report.padding, 3.0 / 8);
  EXPECT_THAT(build_all(*rows, 4).targets, ElementsAre(2, 3, 4, 5, 16, -1, -1, -1));
  EXPECT_THAT(error_of([&] {
                pack_documents(sets_.make({{{1, 2, 3}, {1, 0, 0}}}), {.seq = 4});
              }),
              HasSubstr("nothing counts in the first 5 tokens of any of its 1 documents"));
}

// Every document once and whole, for random lengths.
TEST_F(PackingTest, EveryDocumentExactlyOnce) {
  std::mt19937 random(3);
  std::vector<Document> documents;
  int32_t next = 0;
  for (int d = 0; d < 500; ++d) {
    Document document;
    for (size_t n = 2 + random() % 30; n > 0; --n) document.tokens.push_back(next++);
    documents.push_back(document);
  }
  const TokenSet set = sets_.make(documents, 1 << 20);
  const auto rows = pack_documents(set, {.seq = 32});
  const Batch batch = build_all(*rows, 32);
  std::multiset<int32_t> targets(batch.targets.begin(), batch.targets.end());
  targets.erase(-1);
  std::multiset<int32_t> expected;
  for (const Document& document : documents) {
    expected.insert(document.tokens.begin() + 1, document.tokens.end());
  }
  EXPECT_EQ(targets, expected);
  for (size_t i = 0; i < batch.tokens.size(); ++i) {
    if (batch.targets[i] < 0) continue;
    EXPECT_EQ(batch.targets[i], batch.tokens[i] + 1);
  }
  check_sequences(batch);
  check_counts(*rows, 32);
  EXPECT_LT(rows->report().padding, 0.02);
}

TEST_F(PackingTest, TokensWithoutDocumentsCannotBePackedByDocument) {
  const TokenSet bare = sets_.bare({1, 2, 99, 3, 4, 99});
  EXPECT_THAT(error_of([&] { pack_documents(bare, {.seq = 4}); }),
              HasSubstr("set data.packing=stream"));
  const auto rows = pack_stream(bare, {.seq = 5, .isolate = true});
  EXPECT_THAT(build_all(*rows, 5).targets, ElementsAre(2, 99, -1, 4, 99));
  check_counts(*rows, 5);
}

TEST(BestFitTest, PacksExactly) {
  const std::vector<int32_t> lengths = {3, 7, 0, 5, 4, 6, 5};
  const Bins bins = best_fit(lengths, 10);
  ASSERT_EQ(bins.size(), 3);
  EXPECT_THAT(bins[0], ElementsAre(1, 0));
  EXPECT_THAT(bins[1], ElementsAre(5, 4));
  EXPECT_THAT(bins[2], ElementsAre(3, 6));
}

TEST(BestFitTest, EveryItemOnceWithinCapacityAndNearTheOptimum) {
  std::mt19937 random(5);
  for (const int32_t capacity : {1, 2, 17, 512}) {
    std::vector<int32_t> lengths(2000);
    int64_t total = 0;
    for (int32_t& length : lengths) {
      length = static_cast<int32_t>(random() % static_cast<uint32_t>(capacity + 1));
      total += length;
    }
    const Bins bins = best_fit(lengths, capacity);
    std::vector<int> seen(lengths.size(), 0);
    for (int64_t b = 0; b < bins.size(); ++b) {
      int64_t filled = 0;
      for (const uint32_t item : bins[b]) {
        ++seen[item];
        filled += lengths[item];
      }
      EXPECT_LE(filled, capacity);
      EXPECT_GT(filled, 0);
    }
    for (size_t i = 0; i < seen.size(); ++i) EXPECT_EQ(seen[i], lengths[i] > 0 ? 1 : 0);
    const int64_t fewest = (total + capacity - 1) / capacity;
    EXPECT_LE(bins.size(), fewest * 11 / 9 + 1);
  }
}

}  // namespace
}  // namespace ashlar::data
