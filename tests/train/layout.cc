#include "tests/train/layout.h"

#include "ashlar/base/cpu.h"
#include "ashlar/base/philox.h"
#include "ashlar/comm/thread_ranks.h"
#include "ashlar/passes/plan_memory.h"
#include "ashlar/runtime/executor.h"
#include "ashlar/runtime/reference_run.h"

#include <gtest/gtest.h>

#include <cmath>
#include <mutex>

namespace ashlar::train::testing {
namespace {

using graph::Graph;
using graph::Phase;
using graph::RunState;
using graph::Symbol;
using graph::Variable;
using graph::VariableKind;

// One microbatch of one rank.
struct Inputs {
  std::vector<int32_t> tokens, positions, targets, row_start;
  graph::Bindings bindings;
  uint64_t first_token = 0;
  int64_t whole_tokens = 0;  // of the microbatch, before context and tensor ranks share it
};

// Row `row` of the global batch of a step: two documents, some targets that do not count.
struct Row {
  std::vector<int32_t> tokens, positions, targets;
  std::vector<int32_t> lengths;
};

Row make_row(const LayoutJob& job, int64_t step, int64_t row) {
  const RandomStream random(job.seed, "layout");
  uint64_t draw = static_cast<uint64_t>((step * job.batch + row) * 1000);
  const auto below = [&](int64_t n) {
    return static_cast<int32_t>(random.bits(draw++) % static_cast<uint64_t>(n));
  };
  Row result;
  const int32_t first = 1 + below(job.seq - 1);
  result.lengths = {first, static_cast<int32_t>(job.seq) - first};
  for (const int32_t length : result.lengths) {
    for (int32_t i = 0; i < length; ++i) {
      result.tokens.push_back(below(job.model.vocab));
      result.positions.push_back(i);
      // The more rows, the fewer targets: ranks count differently many.
      result.targets.push_back(below(job.batch + 2) <= row ? -1 : below(job.model.vocab));
    }
  }
  return result;
}

int64_t valid_tokens(const LayoutJob& job, int64_t step) {
  int64_t valid = 0;
  for (int64_t row = 0; row < job.batch; ++row) {
    for (const int32_t target : make_row(job, step, row).targets) valid += target >= 0 ? 1 : 0;
  }
  return valid;
}

// Which places of a row a context rank has.
std::vector<int64_t> places(const LayoutJob& job, const Layout& layout, int rank) {
  const int p = layout.mesh.context;
  std::vector<Slice> pieces;
  if (layout.context == passes::ContextParallel::kZigzag) {
    pieces = {slice_of(job.seq, 2 * p, rank), slice_of(job.seq, 2 * p, 2 * p - 1 - rank)};
  } else {
    pieces = {slice_of(job.seq, p, rank)};
  }
  std::vector<int64_t> result;
  for (const Slice& piece : pieces) {
    for (int64_t i = piece.offset; i < piece.end(); ++i) result.push_back(i);
  }
  return result;
}

Inputs make_inputs(const LayoutJob& job, const Layout& layout, const Mesh& mesh, int rank,
                   int64_t step, int64_t microbatch) {
  const int64_t dealt = layout.mesh.data * layout.mesh.expert;
  const int64_t index =
      mesh.coordinate(rank, "data") * layout.mesh.expert + mesh.coordinate(rank, "expert");
  const int64_t rank_rows = job.batch / dealt, rows = rank_rows / job.microbatches;
  const int64_t first_row = index * rank_rows + microbatch * rows;
  Inputs inputs;
  inputs.row_start = {0};
  for (int64_t row = first_row; row < first_row + rows; ++row) {
    const Row made = make_row(job, step, row);
    for (const int64_t i : places(job, layout, mesh.coordinate(rank, "context"))) {
      const auto at = static_cast<size_t>(i);
      inputs.tokens.push_back(made.tokens[at]);
      inputs.positions.push_back(made.positions[at]);
      inputs.targets.push_back(made.targets[at]);
    }
    for (const int32_t length : made.lengths) {
      inputs.row_start.push_back(inputs.row_start.back() + length);
    }
  }
  const auto tokens = static_cast<int64_t>(inputs.tokens.size());
  inputs.whole_tokens = rows * job.seq;
  inputs.bindings[Symbol::kTokens] = tokens;
  inputs.bindings[Symbol::kWhole] = inputs.whole_tokens;
  inputs.bindings[Symbol::kPart] =
      slice_of(tokens, layout.mesh.tensor, mesh.coordinate(rank, "tensor")).length;
  inputs.bindings[Symbol::kSeqs] = static_cast<int64_t>(inputs.row_start.size()) - 1;
  inputs.first_token = static_cast<uint64_t>(first_row * job.seq);
  return inputs;
}

StepSpec spec_of(const LayoutJob& job, const Layout& layout, const Mesh& mesh, int rank) {
  const int64_t rows = job.batch / (layout.mesh.data * layout.mesh.expert * job.microbatches);
  StepSpec spec;
  spec.model = job.model;
  spec.update = job.update;
  spec.dtype = layout.dtype;
  spec.recompute = layout.recompute;
  spec.max_tokens = rows * job.seq;
  spec.max_seqs = rows * 2;
  spec.shard.mesh = mesh;
  spec.shard.zero = layout.zero;
  spec.shard.sequence = layout.sequence;
  spec.shard.context = layout.context;
  spec.shard.seq = job.seq;
  spec.rank = rank;
  return spec;
}

// Runs the phases of a rank's graph: through the references, or through the kernels.
class Runner {
 public:
  virtual ~Runner() = default;
  virtual void set(const Inputs& inputs, float scale, float lr) = 0;
  virtual void run(const std::vector<Phase>& phases, const RunState& state) = 0;
  virtual double output(const std::string& name) = 0;
  virtual std::vector<double> variable(const std::string& name) = 0;
};

class ReferenceRunner final : public Runner {
 public:
  ReferenceRunner(const Graph& graph, const graph::Bindings& bindings,
                  const runtime::VariableStore& store, comm::Communicator* comm)
      : run_(graph, bindings, store, comm) {}
  void set(const Inputs& in, float scale, float lr) override {
    run_.bind(in.bindings);
    run_.set_input("tokens", in.tokens);
    run_.set_input("positions", in.positions);
    run_.set_input("targets", in.targets);
    run_.set_input("row_start", in.row_start);
    run_.set_input("loss_scale", std::vector<double>{scale});
    run_.set_input("lr", std::vector<double>{lr});
  }
  void run(const std::vector<Phase>& phases, const RunState& state) override {
    run_.run(state, phases);
  }
  double output(const std::string& name) override { return run_.output(name)[0]; }
  std::vector<double> variable(const std::string& name) override { return run_.variable(name); }

 private:
  runtime::ReferenceRun run_;
};

class KernelRunner final : public Runner {
 public:
  KernelRunner(const Graph& graph, const graph::Bindings& max, runtime::VariableStore& store,
               comm::Communicator* comm)
      : store_(store),
        table_(kernels::kernel_table(best_isa_tier())),
        pool_(1),
        executor_(graph, passes::plan_memory(graph, {.max = max, .table = &table_}), store, table_,
                  pool_) {
    executor_.set_communicator(comm);
  }
  void set(const Inputs& in, float scale, float lr) override {
    in_ = in;
    scale_ = scale;
    lr_ = lr;
    executor_.bind_input("tokens", in_.tokens.data());
    executor_.bind_input("positions", in_.positions.data());
    executor_.bind_input("targets", in_.targets.data());
    executor_.bind_input("row_start", in_.row_start.data());
    executor_.bind_input("loss_scale", &scale_);
    executor_.bind_input("lr", &lr_);
  }
  void run(const std::vector<Phase>& phases, const RunState& state) override {
    for (const Phase phase : phases) {
      const char* name = phase == Phase::kForward  ? "forward"
                         : phase == Phase::kReduce ? "reduce"
                         : phase == Phase::kUpdate ? "update"
                                                   : "backward";
      if (phase == Phase::kWeightGrad) continue;  // with the input gradients
      const int program = executor_.program_index(name);
      if (program >= 0) executor_.run(program, in_.bindings, state);
    }
  }
  double output(const std::string& name) override {
    const graph::Operand value = executor_.output(name, in_.bindings);
    return value.dtype == DType::kF64 ? *value.as<double>()
                                      : static_cast<double>(*value.as<float>());
  }
  std::vector<double> variable(const std::string& name) override {
    const Tensor& tensor = store_.at(name);
    std::vector<double> values(static_cast<size_t>(tensor.elements()));
    convert(tensor.dtype(), tensor.data(), DType::kF64, values.data(), tensor.elements());
    return values;
  }

 private:
  runtime::VariableStore& store_;
  const kernels::KernelTable& table_;
  ThreadPool pool_;
  runtime::Executor executor_;
  Inputs in_;
  float scale_ = 0, lr_ = 0;
};

// Puts a rank's part of a parameter where it belongs in the whole.
void place(const Variable& variable, const std::vector<double>& part, std::vector<double>& whole) {
  const Shape shape = variable.part.empty() ? variable.shape : variable.whole;
  whole.resize(static_cast<size_t>(shape.elements()));
  for (size_t i = 0; i < part.size(); ++i) {
    size_t index = 0, rest = i, stride = 1;
    for (int dim = shape.rank(); dim-- > 0;) {
      const auto length = static_cast<size_t>(variable.shape[dim]);
      const int64_t offset =
          variable.part.empty() ? 0 : variable.part[static_cast<size_t>(dim)].offset;
      index += (rest % length + static_cast<size_t>(offset)) * stride;
      rest /= length;
      stride *= static_cast<size_t>(shape[dim]);
    }
    whole[index] = part[i];
  }
}

class LayoutRank {
 public:
  LayoutRank(const LayoutJob& job, const Layout& layout, Arithmetic arithmetic, int rank,
             comm::Communicator* comm)
      : job_(job),
        layout_(layout),
        mesh_(Mesh::standard(layout.mesh)),
        rank_(rank),
        comm_(comm),
        training_(build_training_graph(spec_of(job, layout, mesh_, rank))),
        store_(job.seed) {
    store_.add_missing(training_.graph);
    store_.refresh_shadows(training_.graph);
    const Inputs first = make_inputs(job, layout, mesh_, rank, 1, 0);
    graph::Bindings max = first.bindings;
    max[Symbol::kSeqs] = std::max<int64_t>(max[Symbol::kSeqs], 2 * job.batch);
    if (arithmetic == Arithmetic::kDouble) {
      runner_ = std::make_unique<ReferenceRunner>(training_.graph, first.bindings, store_, comm);
    } else {
      runner_ = std::make_unique<KernelRunner>(training_.graph, max, store_, comm);
    }
  }

  void step(int64_t step, std::vector<double>& losses, std::vector<double>& norms) {
    const auto scale = 1.0f / static_cast<float>(valid_tokens(job_, step));
    RunState state{.seed = job_.seed, .step = static_cast<uint64_t>(step)};
    double loss = 0;
    for (int64_t m = 0; m < job_.microbatches; ++m) {
      const Inputs inputs = make_inputs(job_, layout_, mesh_, rank_, step, m);
      runner_->set(inputs, scale, static_cast<float>(job_.lr));
      state.first_microbatch = m == 0;
      state.first_token = inputs.first_token;
      state.tokens = inputs.bindings[Symbol::kTokens];
      runner_->run({Phase::kForward}, state);
      loss += runner_->output("loss");
      runner_->run({Phase::kInputGrad, Phase::kWeightGrad}, state);
    }
    runner_->run({Phase::kReduce}, state);
    runner_->run({Phase::kUpdate}, state);
    losses.push_back(whole_loss(loss));
    norms.push_back(runner_->output("grad_norm"));
  }

  void collect(LayoutResult& result) {
    for (const Variable& variable : training_.graph.variables()) {
      if (!store_.contains(variable.name)) continue;
      result.bytes[static_cast<size_t>(rank_)][variable.kind] += variable.bytes();
      const bool learnt = variable.kind == VariableKind::kParameter;
      if (!learnt && !variable.name.ends_with(".v")) continue;
      auto& values = (learnt ? result.parameters : result.squares)[variable.name];
      place(variable, runner_->variable(variable.name), values);
    }
  }

 private:
  // Ranks that see other tokens have a share of it each.
  double whole_loss(double loss) {
    if (comm_ == nullptr) return loss;
    const comm::Group all = comm::group_along(mesh_, rank_, {"data", "context", "expert"});
    if (all.size() > 1) {
      comm::Group shares = all;
      shares.name = "loss";  // not part of the method's traffic
      comm_->all_reduce(shares, comm::Reduce::kSum, comm::buffer(std::span(&loss, 1)), "loss");
    }
    return loss;
  }

  const LayoutJob& job_;
  const Layout& layout_;
  Mesh mesh_;
  int rank_;
  comm::Communicator* comm_;
  TrainingGraph training_;
  runtime::VariableStore store_;
  std::unique_ptr<Runner> runner_;
};

}  // namespace

std::string Layout::str() const {
  return fmt::format("{} zero={} sequence={} recompute={}", Mesh::standard(mesh).str(), zero,
                     sequence, static_cast<int>(recompute));
}

LayoutResult run_layout(const LayoutJob& job, const Layout& layout, Arithmetic arithmetic) {
  const int ranks = Mesh::standard(layout.mesh).size();
  LayoutResult result;
  result.bytes.resize(static_cast<size_t>(ranks));
  result.traffic.resize(static_cast<size_t>(ranks));
  std::mutex mutex;
  comm::run_ranks(ranks, [&](comm::Communicator& comm) {
    LayoutRank rank(job, layout, arithmetic, comm.rank(), ranks > 1 ? &comm : nullptr);
    std::vector<double> losses, norms;
    for (int64_t step = 1; step <= job.steps; ++step) rank.step(step, losses, norms);
    const std::lock_guard lock(mutex);
    rank.collect(result);
    result.traffic[static_cast<size_t>(comm.rank())] = comm.counters();
    if (!result.losses.empty()) {  // every rank knows the same
      EXPECT_EQ(losses, result.losses) << layout.str();
      EXPECT_EQ(norms, result.norms) << layout.str();
    }
    result.losses = losses;
    result.norms = norms;
  });
  return result;
}

void expect_equal(const LayoutResult& found, const LayoutResult& wanted, const Tolerance& tolerance,
                  const std::string& what) {
  ASSERT_EQ(found.losses.size(), wanted.losses.size());
  for (size_t i = 0; i < wanted.losses.size(); ++i) {
    ASSERT_NEAR(found.losses[i], wanted.losses[i], tolerance.loss * std::abs(wanted.losses[i]))
        << what << ": loss of step " << i + 1;
    ASSERT_NEAR(found.norms[i], wanted.norms[i], tolerance.loss * wanted.norms[i])
        << what << ": gradient norm of step " << i + 1;
  }
  ASSERT_EQ(found.parameters.size(), wanted.parameters.size());
  for (const auto& [name, values] : wanted.parameters) {
    const std::vector<double>& now = found.parameters.at(name);
    ASSERT_EQ(now.size(), values.size()) << name;
    const std::vector<double>& squares = wanted.squares.at(name + ".v");
    double norm = 0, difference = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      // What is mathematically 0, such as the gradient of a key's bias, is noise that Adam
      // amplifies.
      if (std::sqrt(squares[i]) < tolerance.gradient) continue;
      norm += values[i] * values[i];
      difference += (now[i] - values[i]) * (now[i] - values[i]);
    }
    EXPECT_LE(std::sqrt(difference), tolerance.parameter * std::sqrt(norm)) << what << ": " << name;
  }
}

models::DecoderConfig small_llama() {
  models::DecoderConfig config;
  config.family = "llama";
  config.initializer_range = 0.3;
  config.resize({.vocab = 37,
                 .width = 24,
                 .layers = 3,
                 .heads = 4,
                 .max_positions = 32,
                 .kv_heads = 2,
                 .ffn = 20});
  config.rope.rotary_dim = config.head_dim;
  return config;
}

models::DecoderConfig small_gpt2() {
  models::DecoderConfig config;
  config.family = "gpt2";
  config.initializer_range = 0.3;
  config.norm = graph::NormKind::kLayer;
  config.activation = kernels::Activation::kGeluTanh;
  config.gated = false;
  config.qkv_bias = config.o_bias = config.mlp_bias = true;
  config.tied_head = true;
  config.positions = models::Positions::kLearned;
  config.embedding_dropout = config.residual_dropout = config.attention_dropout = 0.1;
  config.resize(
      {.vocab = 37, .width = 24, .layers = 3, .heads = 4, .max_positions = 32, .ffn = 28});
  return config;
}

}  // namespace ashlar::train::testing
