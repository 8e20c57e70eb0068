#include "ashlar/embed/hidden_runner.h"

#include "ashlar/base/error.h"
#include "ashlar/bundle/load_weights.h"
#include "ashlar/models/decoder_graphs.h"
#include "ashlar/passes/fuse.h"
#include "ashlar/passes/pack.h"
#include "ashlar/passes/plan_memory.h"
#include "ashlar/runtime/pack_weights.h"

#include <algorithm>
#include <numeric>

namespace ashlar::embed {
HiddenRunner::HiddenRunner(const bundle::Bundle& model, const HiddenLimits& limits, DType compute,
                           const kernels::KernelTable& table, ThreadPool& pool,
                           const OnLoading& on_loading, Output output)
    : output_(output), limits_(limits) {
  const models::DecoderConfig& config = model.description();
  width_ = config.width;
  vocab_ = config.vocab;
  token_types_ = config.token_types;
  limits_.seqs = std::min(limits_.seqs, limits_.tokens);
  max_positions_ = std::min(config.max_positions, limits_.tokens);
  models::DecoderOptions options;
  options.weights = options.activations = compute;
  options.max_positions = max_positions_;
  const graph::Graph graph = output == Output::kLogits ? models::build_logits(config, options)
                                                       : models::build_hidden(config, options);
  graph_ = passes::pack(passes::fuse(graph), table);
  int64_t done = 0;
  const bundle::Weights file = model.open_weights();
  const auto total = static_cast<double>(std::max<int64_t>(1, file.data_bytes()));
  bundle::load_weights(
      file, graph_, bundle::Storage::kMapped, model.path(),
      [&](const std::string& name, Tensor tensor) {
        done += static_cast<int64_t>(tensor.bytes());
        if (on_loading) {
          on_loading("reading weights", std::min(1.0, double(done) / total));
        }
        weights_.put(name, std::move(tensor));
      },
      &pool);
  runtime::pack_weights(graph_, weights_, table, pool, [](const std::string&, const Tensor&) {});
  weights_.add_missing(graph_);
  auto plan = passes::plan_memory(
      graph_,
      {.max = bindings(limits_.tokens, limits_.seqs), .table = &table, .threads = pool.threads()});
  executor_.emplace(graph_, std::move(plan), weights_, table, pool);
  program_ = executor_->program_index("forward");
}

std::span<const float> HiddenRunner::run(std::span<const TokenizedText* const> texts) {
  tokens_.clear();
  positions_.clear();
  types_.clear();
  row_start_.assign(1, 0);
  for (const TokenizedText* text : texts) add(*text);
  const auto tokens = static_cast<int64_t>(tokens_.size());
  const auto seqs = static_cast<int64_t>(texts.size());
  ASHLAR_CHECK(tokens <= limits_.tokens && seqs <= limits_.seqs,
               "embedding: {} tokens of {} texts in a run; room is for {} of {}", tokens, seqs,
               limits_.tokens, limits_.seqs);
  if (tokens == 0) return {};
  executor_->bind_input("tokens", tokens_.data());
  executor_->bind_input("positions", positions_.data());
  executor_->bind_input("row_start", row_start_.data());
  if (token_types_ > 0) executor_->bind_input("token_types", types_.data());
  if (output_ == Output::kLogits) {
    rows_.resize(tokens_.size());
    std::iota(rows_.begin(), rows_.end(), 0);
    executor_->bind_input("output_rows", rows_.data());
  }
  const graph::Bindings sizes = bindings(tokens, seqs);
  executor_->run(program_, sizes, {});
  const bool logits = output_ == Output::kLogits;
  return {executor_->output(logits ? "logits" : "hidden", sizes).as<float>(),
          static_cast<size_t>(tokens * (logits ? vocab_ : width_))};
}

graph::Bindings HiddenRunner::bindings(int64_t tokens, int64_t seqs) const {
  graph::Bindings bindings;
  bindings[graph::Symbol::kTokens] = tokens;
  bindings[graph::Symbol::kSeqs] = seqs;
  if (output_ == Output::kLogits) bindings[graph::Symbol::kOutputs] = tokens;
  return bindings;
}

void HiddenRunner::add(const TokenizedText& text) {
  const auto count = static_cast<int64_t>(text.ids.size());
  ASHLAR_CHECK(count >= 1 && count <= max_positions_,
               "embedding: a text of {} tokens, the model takes 1 to {}", count, max_positions_);
  for (int64_t i = 0; i < count; ++i) {
    const int32_t id = text.ids[static_cast<size_t>(i)];
    ASHLAR_CHECK(id >= 0 && id < vocab_, "token id {} is outside the vocabulary of {} tokens", id,
                 vocab_);
    const int32_t type = text.types.empty() ? 0 : text.types[static_cast<size_t>(i)];
    tokens_.push_back(id);
    positions_.push_back(static_cast<int32_t>(i));
    types_.push_back(type >= 0 && type < token_types_ ? type : 0);
  }
  row_start_.push_back(static_cast<int32_t>(tokens_.size()));
}

}  // namespace ashlar::embed
