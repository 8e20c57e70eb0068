// Runs a model on texts laid end to end and gives the last layer's rows: an encoder's, or a
// decoder's behind its final norm; or the logits that the head makes of them. Owns graph, plan,
// weights (mapped where they can be) and executor. After construction a run allocates nothing but
// its inputs' growth.
#pragma once

#include "ashlar/base/thread_pool.h"
#include "ashlar/bundle/bundle.h"
#include "ashlar/runtime/executor.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace ashlar::embed {

struct TokenizedText {
  std::vector<int32_t> ids;
  std::vector<int32_t> types = {};  // segments; empty: all 0
};

struct HiddenLimits {
  int64_t tokens = 2048;  // of a run, all texts together
  int64_t seqs = 256;
};

enum class Output : uint8_t { kHidden, kLogits };

// How far loading is, 0 to 1. May throw to end it.
using OnLoading = std::function<void(std::string_view stage, double fraction)>;

class HiddenRunner {
 public:
  // Table and pool outlive the runner. compute: of matrices and activations. Throws Error where
  // logits are asked for and the model's files have no head.
  HiddenRunner(const bundle::Bundle& model, const HiddenLimits& limits, DType compute,
               const kernels::KernelTable& table, ThreadPool& pool,
               const OnLoading& on_loading = nullptr, Output output = Output::kHidden);
  HiddenRunner(const HiddenRunner&) = delete;
  HiddenRunner& operator=(const HiddenRunner&) = delete;

  // f32 [tokens of all texts, width or vocab], valid until the next run. Every text has a token at
  // least. Throws Error for texts beyond the limits and for ids that the model does not have.
  std::span<const float> run(std::span<const TokenizedText* const> texts);

  const HiddenLimits& limits() const { return limits_; }
  int64_t width() const { return width_; }
  int64_t vocab() const { return vocab_; }
  int64_t max_positions() const { return max_positions_; }  // tokens of the longest text

 private:
  graph::Bindings bindings(int64_t tokens, int64_t seqs) const;
  void add(const TokenizedText& text);

  Output output_;
  HiddenLimits limits_;
  int64_t width_ = 0, vocab_ = 0, max_positions_ = 0, token_types_ = 0;
  graph::Graph graph_;
  runtime::VariableStore weights_;
  std::optional<runtime::Executor> executor_;
  int program_ = 0;
  std::vector<int32_t> tokens_, positions_, types_, row_start_, rows_;  // of a run
};

}  // namespace ashlar::embed
