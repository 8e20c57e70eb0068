// The FLOPs that MFU counts are those of the textbook: matrix products and the causal half of
// attention, forward once and backward twice, whatever passes made of the graph.
#include "ashlar/train/training_step.h"
#include "tests/train/tiny_run.h"

#include <gtest/gtest.h>

namespace ashlar::train {
namespace {

constexpr int64_t kVocab = 61, kWidth = 24, kLayers = 2, kHeads = 3, kFfn = 40, kSeq = 12;
constexpr int64_t kHead = kWidth / kHeads;

models::DecoderConfig small_model(const std::string& family) {
  ModelSection model;
  model.family = family;
  model.width = kWidth;
  model.layers = kLayers;
  model.heads = kHeads;
  model.kv_heads = family == "llama" ? 1 : kHeads;
  model.ffn = kFfn;
  return model.decoder(kVocab, kSeq);
}

// Weights that a token is multiplied with: no table that is only looked up.
double weights(const std::string& family) {
  const int64_t kv = (family == "llama" ? 1 : kHeads) * kHead;
  const int64_t mlp = (family == "llama" ? 3 : 2) * kWidth * kFfn;
  return static_cast<double>(kLayers * (2 * kWidth * kWidth + 2 * kWidth * kv + mlp) +
                             kVocab * kWidth);
}

data::StepBatch batch_of(int64_t microbatches, int64_t rows) {
  data::StepBatch step;
  for (int64_t i = 0; i < microbatches; ++i) {
    data::Batch batch;
    batch.rows = rows;
    batch.seq = kSeq;
    batch.tokens.assign(static_cast<size_t>(rows * kSeq), 1);
    batch.targets = batch.tokens;
    batch.positions.assign(batch.tokens.size(), 0);
    for (int64_t row = 0; row <= rows; ++row) {
      batch.row_start.push_back(static_cast<int32_t>(row * kSeq));
    }
    batch.valid_tokens = rows * kSeq;
    step.valid_tokens += batch.valid_tokens;
    step.microbatches.push_back(std::move(batch));
  }
  return step;
}

TEST(Flops, AreThoseOfTheModelWhateverThePassesMakeOfIt) {
  constexpr int64_t kMicrobatches = 3, kRows = 2, kTokens = kMicrobatches * kRows * kSeq;
  // Of a row and head: q k and p v, for every pair of a token and one that it sees.
  constexpr double kPairs = kSeq * (kSeq + 1) / 2;
  constexpr double kAttention = kMicrobatches * kRows * kLayers * kHeads * kPairs * 4 * kHead;
  for (const std::string family : {"gpt2", "llama"}) {
    const double wanted = 3 * (2 * kTokens * weights(family) + kAttention);
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      const StepSpec spec{.model = small_model(family),
                          .update = {},
                          .dtype = dtype,
                          .max_tokens = kRows * kSeq,
                          .max_seqs = kRows};
      ThreadPool pool(1);
      runtime::VariableStore store;
      const TrainingStep step(build_training_graph(spec), spec, store,
                              kernels::kernel_table(best_isa_tier()), pool);
      EXPECT_EQ(step.flops(batch_of(kMicrobatches, kRows)), wanted) << family << " " << name(dtype);
    }
  }
}

}  // namespace
}  // namespace ashlar::train
