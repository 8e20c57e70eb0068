// Runs a model's serving graph on batches of sequence pieces over a paged key-value cache. Owns the
// graph, its plan, its executor and the cache; shares the weights with the store they come from (a
// trainer's, say). Chunks, neighbours and thread count never change a bit of any logit. After
// construction a run allocates nothing. Weights may be packed by and by, between its runs: a short
// prompt is then answered before they all are.
#pragma once

#include "ashlar/base/thread_pool.h"
#include "ashlar/generate/block_table.h"
#include "ashlar/runtime/executor.h"
#include "ashlar/runtime/pack_weights.h"

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace ashlar::generate {

// What a run may be at most.
struct RunnerLimits {
  int64_t tokens = 512;  // rows
  int64_t seqs = 64;
  int64_t outputs = 64;  // rows with logits
  int64_t context = 0;   // tokens of the longest sequence; 0: what a row of the block table holds
};

// The symbols of the largest step.
graph::Bindings largest_step(const RunnerLimits& limits);

// The next tokens of one sequence.
struct SequencePiece {
  std::span<const int32_t> tokens;
  int64_t position = 0;             // of the first; all before it is in the cache
  std::span<const int32_t> blocks;  // at least up to the last token
  int64_t outputs = 1;              // logits are wanted of so many last tokens
  int64_t length = 0;               // tokens of the sequence, fed or not; 0: up to these
};

// Logits of the pieces in order, each piece's wanted rows in order. Valid until the next run.
struct Logits {
  const float* data = nullptr;
  int64_t rows = 0, vocab = 0;
  std::span<const float> row(int64_t i) const {
    return {data + i * vocab, static_cast<size_t>(vocab)};
  }
};

class ModelRunner {
 public:
  // serving: a graph as models::build_serving gives it. weights: every Variable but caches and
  // constants; the runner keeps sharing their storage. Table and pool outlive the runner.
  ModelRunner(graph::Graph serving, const RunnerLimits& limits,
              const runtime::VariableStore& weights, const kernels::KernelTable& table,
              ThreadPool& pool, runtime::WeightPacker packer = {});
  ModelRunner(const ModelRunner&) = delete;
  ModelRunner& operator=(const ModelRunner&) = delete;

  // Throws Error for a batch beyond the limits or the context, and for token ids beyond the
  // vocabulary.
  Logits run(std::span<const SequencePiece> batch);
  void copy_blocks(std::span<const BlockCopy> copies);
  // Of the weights, what is not packed yet: before something is measured, say.
  void pack_rest();
  bool is_packed() const { return packer_.is_done(); }

  const RunnerLimits& limits() const { return limits_; }
  int64_t vocab() const { return vocab_; }
  int64_t blocks() const { return blocks_; }            // of the cache
  int64_t max_context() const { return max_context_; }  // tokens of a sequence
  // Whether keys of a sequence of so many tokens are those of a long one (LongRoPE): a sequence
  // that becomes long is computed anew, as transformers does it.
  bool is_long(int64_t tokens) const { return tokens > longest_short_; }
  // Of weights, cache and work space.
  int64_t bytes() const { return store_.bytes() + executor_->plan().total_bytes(); }
  // Of the packed matrices, which every step reads (of experts, at most).
  int64_t matrix_bytes() const;
  DType cache_dtype() const { return cache_dtype_; }
  ThreadPool& pool() { return pool_; }
  runtime::Executor& executor() { return *executor_; }

 private:
  void read_sizes();
  runtime::VariableStore share(const runtime::VariableStore& weights) const;
  void reserve_caches();
  void bind_inputs();
  void check(std::span<const SequencePiece> batch) const;
  void add_piece(const SequencePiece& piece);
  void pack_some(int64_t rows);

  graph::Graph graph_;
  RunnerLimits limits_;
  ThreadPool& pool_;
  int64_t vocab_ = 0, blocks_ = 0, table_width_ = 0, max_context_ = 0;
  int64_t longest_short_ = std::numeric_limits<int64_t>::max();
  DType cache_dtype_ = DType::kF32;
  std::vector<std::string> caches_;
  runtime::VariableStore store_;
  std::optional<runtime::Executor> executor_;
  int program_ = 0;
  uint64_t runs_ = 0;
  runtime::WeightPacker packer_;
  double last_run_s_ = 0;  // as long as weights are left to pack

  // Inputs of a run; filled from the front.
  std::vector<int32_t> tokens_, positions_, slots_, row_start_, context_, lengths_, block_table_,
      output_rows_;
};

}  // namespace ashlar::generate
