#include "ashlar/generate/model_runner.h"

#include "ashlar/base/clock.h"
#include "ashlar/base/error.h"
#include "ashlar/graph/ops/long_positions.h"
#include "ashlar/passes/plan_memory.h"
#include "ashlar/runtime/arena.h"

#include <algorithm>
#include <cstring>
#include <memory>

namespace ashlar::generate {
namespace {

using graph::Symbol;
using graph::VariableKind;

graph::Bindings make_bindings(int64_t tokens, int64_t seqs, int64_t outputs) {
  graph::Bindings bindings;
  bindings[Symbol::kTokens] = tokens;
  bindings[Symbol::kSeqs] = seqs;
  bindings[Symbol::kOutputs] = outputs;
  return bindings;
}

}  // namespace

graph::Bindings largest_step(const RunnerLimits& limits) {
  return make_bindings(limits.tokens, limits.seqs, limits.outputs);
}

ModelRunner::ModelRunner(graph::Graph serving, const RunnerLimits& limits,
                         const runtime::VariableStore& weights, const kernels::KernelTable& table,
                         ThreadPool& pool, runtime::WeightPacker packer)
    : graph_(std::move(serving)), limits_(limits), pool_(pool), packer_(std::move(packer)) {
  ASHLAR_CHECK(limits.seqs >= 1 && limits.tokens >= limits.seqs && limits.outputs >= 1,
               "model runner: {} tokens, {} sequences and {} rows of logits a step do not go "
               "together",
               limits.tokens, limits.seqs, limits.outputs);
  read_sizes();
  store_ = share(weights);
  reserve_caches();
  store_.add_missing(graph_);
  passes::PlanOptions options;
  options.max = largest_step(limits);
  options.table = &table;
  options.threads = pool.threads();
  executor_.emplace(graph_, passes::plan_memory(graph_, options), store_, table, pool);
  program_ = executor_->program_index("forward");
  bind_inputs();
}

void ModelRunner::read_sizes() {
  const graph::ValueType& logits = graph_.type(graph_.output("logits"));
  ASHLAR_CHECK(logits.dtype == DType::kF32 && logits.shape.rank() == 2,
               "model runner: logits are {}, wanted f32 [outputs, vocabulary]", logits.str());
  vocab_ = logits.shape[1].offset;
  table_width_ = graph_.type(graph_.inputs().at("block_table")).shape[1].offset;
  blocks_ = std::numeric_limits<int64_t>::max();
  max_context_ = table_width_ * kBlockTokens;
  if (limits_.context > 0) max_context_ = std::min(max_context_, limits_.context);
  for (const graph::Variable& variable : graph_.variables()) {
    if (variable.kind != VariableKind::kCache) continue;
    caches_.push_back(variable.name);
    blocks_ = std::min(blocks_, variable.shape[0]);
    cache_dtype_ = variable.dtype;
  }
  for (const graph::Node& node : graph_.nodes()) {
    const auto* long_rows = dynamic_cast<const graph::LongPositionsOp*>(node.op.get());
    if (long_rows != nullptr) longest_short_ = long_rows->spec().limit;
  }
  ASHLAR_CHECK(!caches_.empty(), "model runner: the graph has no key-value cache");
}

runtime::VariableStore ModelRunner::share(const runtime::VariableStore& weights) const {
  runtime::VariableStore store;
  const std::vector<bool> read = graph_.variables_read();
  for (size_t i = 0; i < read.size(); ++i) {
    const graph::Variable& variable = graph_.variables()[i];
    if (!read[i] || variable.kind == VariableKind::kCache) continue;
    if (weights.contains(variable.name)) {
      store.put(variable.name, weights.at(variable.name));
    } else {
      ASHLAR_CHECK(variable.kind == VariableKind::kConstant,
                   "model runner: weight {} is not in the store", variable.name);
    }
  }
  return store;
}

// Pages of a cache take memory when they are first written, so that a large one costs no time now.
void ModelRunner::reserve_caches() {
  for (const graph::Variable& variable : graph_.variables()) {
    if (variable.kind != VariableKind::kCache) continue;
    const auto pages = std::make_shared<runtime::Arena>(variable.bytes());
    store_.put(variable.name, Tensor(variable.dtype, variable.shape, pages->data(), pages));
  }
}

void ModelRunner::bind_inputs() {
  const auto resize = [](std::vector<int32_t>& input, int64_t size) {
    input.resize(static_cast<size_t>(size));
  };
  resize(tokens_, limits_.tokens);
  resize(positions_, limits_.tokens);
  resize(slots_, limits_.tokens);
  resize(row_start_, limits_.seqs + 1);
  resize(context_, limits_.seqs);
  resize(lengths_, limits_.seqs);
  resize(block_table_, limits_.seqs * table_width_);
  resize(output_rows_, limits_.outputs);
  for (const auto& [name, input] :
       {std::pair{"tokens", &tokens_}, std::pair{"positions", &positions_},
        std::pair{"slots", &slots_}, std::pair{"row_start", &row_start_},
        std::pair{"context", &context_}, std::pair{"block_table", &block_table_},
        std::pair{"output_rows", &output_rows_}}) {
    executor_->bind_input(name, input->data());
  }
  if (graph_.inputs().contains("lengths")) executor_->bind_input("lengths", lengths_.data());
}

Logits ModelRunner::run(std::span<const SequencePiece> batch) {
  check(batch);
  tokens_.clear();
  positions_.clear();
  slots_.clear();
  row_start_.assign(1, 0);
  context_.clear();
  lengths_.clear();
  block_table_.clear();
  output_rows_.clear();
  for (const SequencePiece& piece : batch) add_piece(piece);

  const auto bindings =
      make_bindings(static_cast<int64_t>(tokens_.size()), static_cast<int64_t>(context_.size()),
                    static_cast<int64_t>(output_rows_.size()));
  pack_some(bindings[Symbol::kTokens]);
  graph::RunState state;
  state.step = ++runs_;
  const SteadyClock clock;
  const double begin = clock.now();
  executor_->run(program_, bindings, state);
  last_run_s_ = clock.now() - begin;
  const graph::Operand logits = executor_->output("logits", bindings);
  return {logits.as<float>(), bindings[Symbol::kOutputs], vocab_};
}

// The first run of few rows comes before any packing; each one behind it is given as much time as
// the last run took. More rows would pack all weights several times themselves.
void ModelRunner::pack_some(int64_t rows) {
  constexpr int64_t kFewRows = 96;
  if (packer_.is_done()) return;
  if (rows > kFewRows) return pack_rest();
  if (runs_ == 0) return;
  packer_.pack_for(last_run_s_, store_);
  executor_->rebind_packed();
}

void ModelRunner::pack_rest() {
  packer_.pack_rest(store_);
  executor_->rebind_packed();
}

void ModelRunner::check(std::span<const SequencePiece> batch) const {
  int64_t tokens = 0, outputs = 0;
  for (const SequencePiece& piece : batch) {
    const auto count = static_cast<int64_t>(piece.tokens.size());
    const int64_t end = piece.position + count;
    tokens += count;
    outputs += piece.outputs;
    ASHLAR_CHECK(count > 0 && piece.outputs >= 0 && piece.outputs <= count,
                 "model runner: {} rows of logits of {} tokens", piece.outputs, count);
    ASHLAR_CHECK(piece.position >= 0 && end <= max_context_,
                 "model runner: position {} is beyond the context of {} tokens", end - 1,
                 max_context_);
    ASHLAR_CHECK(end <= static_cast<int64_t>(piece.blocks.size()) * kBlockTokens,
                 "model runner: {} cache blocks for {} tokens", piece.blocks.size(), end);
    for (const int32_t token : piece.tokens) {
      ASHLAR_CHECK(token >= 0 && token < vocab_,
                   "token id {} is outside the vocabulary of {} tokens", token, vocab_);
    }
  }
  const auto seqs = static_cast<int64_t>(batch.size());
  ASHLAR_CHECK(
      tokens <= limits_.tokens && seqs <= limits_.seqs && outputs <= limits_.outputs,
      "model runner: {} tokens, {} sequences, {} rows of logits in a step; room is for {}, "
      "{}, {}",
      tokens, seqs, outputs, limits_.tokens, limits_.seqs, limits_.outputs);
}

void ModelRunner::add_piece(const SequencePiece& piece) {
  const auto count = static_cast<int64_t>(piece.tokens.size());
  for (int64_t i = 0; i < count; ++i) {
    const int64_t position = piece.position + i;
    const int64_t block = piece.blocks[static_cast<size_t>(position / kBlockTokens)];
    tokens_.push_back(piece.tokens[static_cast<size_t>(i)]);
    positions_.push_back(static_cast<int32_t>(position));
    slots_.push_back(static_cast<int32_t>(block * kBlockTokens + position % kBlockTokens));
  }
  const auto rows = static_cast<int32_t>(tokens_.size());
  row_start_.push_back(rows);
  context_.push_back(static_cast<int32_t>(piece.position + count));
  lengths_.push_back(std::max(context_.back(), static_cast<int32_t>(piece.length)));
  const size_t used = std::min(piece.blocks.size(), static_cast<size_t>(table_width_));
  block_table_.insert(block_table_.end(), piece.blocks.begin(),
                      piece.blocks.begin() + static_cast<ptrdiff_t>(used));
  block_table_.resize(context_.size() * static_cast<size_t>(table_width_));
  for (auto row = rows - static_cast<int32_t>(piece.outputs); row < rows; ++row) {
    output_rows_.push_back(row);
  }
}

int64_t ModelRunner::matrix_bytes() const {
  int64_t bytes = 0;
  for (const graph::Variable& variable : graph_.variables()) {
    if (variable.kind == graph::VariableKind::kPacked) bytes += variable.bytes();
  }
  return bytes;
}

void ModelRunner::copy_blocks(std::span<const BlockCopy> copies) {
  for (const std::string& name : caches_) {
    Tensor& cache = store_.at(name);
    const auto bytes = cache.bytes() / static_cast<size_t>(cache.shape()[0]);
    for (const BlockCopy& copy : copies) {
      std::memcpy(cache.data() + static_cast<size_t>(copy.to) * bytes,
                  cache.data() + static_cast<size_t>(copy.from) * bytes, bytes);
    }
  }
}

}  // namespace ashlar::generate
