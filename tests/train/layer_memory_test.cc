// What a layer's activations take between forward and backward, in 2-byte numbers: counted as the
// planner gives it room, and beside it Megatron's formula (Korthikanti et al. 2022) of the same
// layer without flash attention.
#include "ashlar/base/cpu.h"
#include "ashlar/passes/plan_memory.h"
#include "tests/train/layout_batch.h"
#include "tests/train/small_decoders.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace ashlar::train::testing {
namespace {

constexpr int64_t kSeq = 64, kBatch = 2, kWidth = 128, kHeads = 4, kTensor = 2;
constexpr int64_t kTokens = kSeq * kBatch;  // s b

int64_t slot_bytes(int64_t layers, const Layout& layout) {
  LayoutJob job{.model = small_gpt2(), .batch = kBatch, .seq = kSeq};
  job.model.resize({.vocab = 64,
                    .width = kWidth,
                    .layers = layers,
                    .heads = kHeads,
                    .max_positions = kSeq,
                    .ffn = 4 * kWidth});
  const StepSpec spec = spec_of(job, layout, 0);
  const graph::Graph graph = build_training_graph(spec).graph;
  const kernels::KernelTable& table = kernels::kernel_table(best_isa_tier());
  return passes::plan_memory(graph, {.max = largest_microbatch(spec), .slots = 2, .table = &table})
      .slot_bytes;
}

// One layer more.
int64_t layer_bytes(Layout layout) {
  layout.dtype = DType::kBF16;
  return slot_bytes(4, layout) - slot_bytes(3, layout);
}

// Bytes of one layer for s b h, in all ranks' f32 numbers of a head and a row: log-sums of
// attention, two of each norm.
double statistics(double heads, double norms) {
  return (4 * heads + 4 * 2 * norms) / static_cast<double>(kWidth);
}

void expect_layer(const char* method, const Layout& layout, double wanted, double megatron) {
  const double found = static_cast<double>(layer_bytes(layout)) / (kTokens * kWidth);
  EXPECT_NEAR(found, wanted, 1e-9) << method;
  fmt::print("{}: {:.4f} s b h a layer; Megatron's formula without flash attention: {:.4f}\n",
             method, found, megatron);
}

// Kept of a layer: 2 s b h each of what enters and leaves the two norms, queries, keys, values,
// attention's result, and 8 each before and behind the activation; 32 in all. Megatron's 34 has two
// masks of dropout more, which are drawn again here, and of attention 5 a s / h, which flash
// attention never has. Tensor ranks share all but the norms' 8.
TEST(LayerMemory, IsTheFormulaOfTensorParallel) {
  const double t = kTensor, attention = 5.0 * kHeads * kSeq / kWidth;
  expect_layer("one rank", {}, 32 + statistics(kHeads, 2), 34 + attention);
  expect_layer("tensor parallel", {.mesh = {.tensor = kTensor}},
               8 + 24 / t + statistics(kHeads / t, 2), 10 + 24 / t + attention / t);
}

// SP2 shares those too. What two gathers brought together for attention and MLP is kept whole,
// since bytes are to be those of tensor parallelism; RC4, selective recomputation, gathers it again
// as Megatron does, and drops what attention returned.
TEST(LayerMemory, IsTheFormulaOfSequenceParallel) {
  const double t = kTensor, attention = 5.0 * kHeads * kSeq / kWidth;
  const Layout sequence{.mesh = {.tensor = kTensor}, .sequence = true};
  const double gathered = 2 * (2 - 2 / t);
  expect_layer("sequence parallel", sequence, 32 / t + gathered + statistics(kHeads / t, 2 / t),
               (34 + attention) / t);
  Layout selective = sequence;
  selective.recompute = passes::Recompute::kSelective;
  expect_layer("selective recomputation", selective, 30 / t + statistics(0, 2 / t), 34 / t);
}

// 16 bits halve what f32 keeps (MP1, MP2), but for those f32 numbers.
TEST(LayerMemory, SixteenBitsHalveIt) {
  const int64_t half = layer_bytes({});
  const int64_t whole = slot_bytes(4, {}) - slot_bytes(3, {});
  const double kept = statistics(kHeads, 2);
  EXPECT_NEAR(static_cast<double>(whole) / (kTokens * kWidth) - kept,
              2 * (static_cast<double>(half) / (kTokens * kWidth) - kept), 1e-9);
}

}  // namespace
}  // namespace ashlar::train::testing
