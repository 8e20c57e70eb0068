#include "ashlar/graph/ops/loss_chunks.h"

#include "ashlar/base/error.h"
#include "ashlar/kernels/ref/gemm.h"
#include "ashlar/kernels/ref/loss.h"

#include <algorithm>

namespace ashlar::graph {
namespace {

namespace ref = kernels::ref;
using kernels::GemmArgs;

// Rows of one chunk, whose logits take about 64 MB, in whole blocks of the GEMM contract: a
// function of the vocabulary alone so that bits do not depend on the batch.
int64_t chunk_rows(int64_t vocab) {
  constexpr int64_t kLogitsBytes = int64_t{64} << 20;
  const int64_t rows = kLogitsBytes / (std::max<int64_t>(vocab, 1) * int64_t{sizeof(float)});
  return std::max<int64_t>(rows / kernels::kGemmBlock, 1) * kernels::kGemmBlock;
}

constexpr int64_t align(int64_t bytes) { return (bytes + 63) / 64 * 64; }

// One chunk's three products, the sum of its rows, and where its logits lie.
struct Chunk {
  const Operand& x;
  const Operand& weight;
  const float* bias;  // may be null
  int64_t first, rows;
  float* logits;
  DType gradient_dtype;  // of what stands in their place

  int64_t vocab() const { return weight.shape[0]; }
  int64_t width() const { return x.shape[1]; }
  int64_t gradient_stride() const {
    return vocab() * (int64_t{sizeof(float)} / size_of(gradient_dtype));
  }
  std::byte* x_data() const { return x.data + first * width() * size_of(x.dtype); }
  kernels::MatrixView weight_rows() const { return {weight.data, weight.dtype, width(), 1}; }

  GemmArgs forward() const {
    GemmArgs args;
    args.m = rows;
    args.n = vocab();
    args.r = width();
    args.a = {x_data(), x.dtype, width(), 1};
    args.b = {weight.data, weight.dtype, 1, width()};
    args.c = logits;
    args.c_stride = vocab();
    args.bias = bias;
    return args;
  }
  GemmArgs input_grad(const Operand& d_x) const {
    GemmArgs args;
    args.m = rows;
    args.n = width();
    args.r = vocab();
    args.a = {logits, gradient_dtype, gradient_stride(), 1};
    args.b = weight_rows();
    args.c = d_x.data + first * width() * size_of(d_x.dtype);
    args.c_dtype = d_x.dtype;
    args.c_stride = width();
    return args;
  }
  GemmArgs weight_grad(const Operand& grad, bool overwrite) const {
    GemmArgs args;
    args.m = vocab();
    args.n = width();
    args.r = rows;
    args.a = {logits, gradient_dtype, 1, gradient_stride()};
    args.b = {x_data(), x.dtype, width(), 1};
    args.c = grad.data;
    args.c_stride = width();
    args.accumulate = !overwrite;
    return args;
  }
  kernels::ColumnSumArgs bias_grad(const Operand& grad, bool overwrite) const {
    kernels::ColumnSumArgs args;
    args.rows = rows;
    args.width = vocab();
    args.x = logits;
    args.sum = grad.as<float>();
    args.accumulate = !overwrite;
    return args;
  }
};

// As in PyTorch's autocast: rounded where activations are. That of a bias is summed from f32.
DType gradient_dtype(const Operand& x, const LossHead& head) {
  return x.dtype == DType::kBF16 && head.bias == nullptr ? DType::kBF16 : DType::kF32;
}

// Ranks that share the vocabulary cut the rows alike, so that their chunks meet.
int64_t chunk_rows(const Operand& x, const Operand& weight,
                   const std::optional<VocabularySlice>& slice) {
  return std::min(chunk_rows(slice ? slice->largest : weight.shape[0]), x.shape[0]);
}

// Scratch: logits of a chunk, losses of its rows, what the ranks exchange, then the GEMM's own.
constexpr int64_t kExchanged = 4;  // numbers a row
struct ScratchLayout {
  int64_t rows, loss_offset, exchange_offset, gemm_offset, bytes;

  ScratchLayout(const Operand& x, const Operand& weight,
                const std::optional<VocabularySlice>& slice, const kernels::KernelTable& table,
                int threads) {
    rows = chunk_rows(x, weight, slice);
    const int64_t column = rows * int64_t{sizeof(float)};
    loss_offset = align(weight.shape[0] * column);
    exchange_offset = loss_offset + align(column);
    gemm_offset = exchange_offset + (slice ? align(kExchanged * column) : 0);
    int64_t gemm = 0;
    for (const DType dtype : {DType::kF32, x.dtype}) {  // of the gradient, with a bias or without
      const Chunk chunk{x, weight, nullptr, 0, rows, nullptr, dtype};
      gemm = std::max({gemm, table.gemm_scratch(chunk.forward(), threads),
                       table.gemm_scratch(chunk.input_grad(x), threads),
                       table.gemm_scratch(chunk.weight_grad(weight, false), threads)});
    }
    bytes = gemm_offset + gemm;
  }
};

// The three steps of CrossEntropySliceArgs (kernels/args.h) and what the ranks exchange between
// them: the maximum of one number a row, the sums of two, whatever the vocabulary. `numbers` holds
// kExchanged a row.
template <typename T>
void exchange_highest(comm::Communicator& comm, const VocabularySlice& slice, T* highest_of_all,
                      int64_t rows) {
  comm.all_reduce(slice.group, comm::Reduce::kMax, {comm::DTypeOf<T>::value, highest_of_all, rows},
                  slice.label);
}
template <typename T>
void exchange_sums(comm::Communicator& comm, const VocabularySlice& slice, T* sums, int64_t rows) {
  comm.all_reduce(slice.group, comm::Reduce::kSum, {comm::DTypeOf<T>::value, sums, 2 * rows},
                  slice.label);
}

template <typename T, typename Args, typename Steps>
void cross_entropy_of_slices(comm::Communicator* comm, const VocabularySlice& slice, T* numbers,
                             Args args, const Steps& steps) {
  ASHLAR_CHECK(comm != nullptr,
               "{}: a vocabulary shared by {} ranks runs on one: give it a "
               "communicator",
               slice.label, slice.group.size());
  args.first = slice.rows.offset;
  args.highest = numbers;
  args.highest_of_all = numbers + args.rows;
  args.sum = numbers + 2 * args.rows;
  args.target = numbers + 3 * args.rows;  // behind sum: both go in one message
  steps.softmax(args);
  std::copy_n(args.highest, args.rows, args.highest_of_all);
  exchange_highest(*comm, slice, args.highest_of_all, args.rows);
  steps.rescale(args);
  exchange_sums(*comm, slice, args.sum, args.rows);
  steps.cross_entropy(args);
}

struct KernelSteps {
  const kernels::KernelTable& table;
  const kernels::Team& team;
  using Args = kernels::CrossEntropySliceArgs;
  void softmax(const Args& args) const { table.softmax_slice(args, team); }
  void rescale(const Args& args) const { table.rescale_slice(args, team); }
  void cross_entropy(const Args& args) const { table.cross_entropy_slice(args, team); }
};

struct ReferenceSteps {
  using Args = ref::CrossEntropySliceArgs;
  void softmax(const Args& args) const { ref::softmax_slice(args); }
  void rescale(const Args& args) const { ref::rescale_slice(args); }
  void cross_entropy(const Args& args) const { ref::cross_entropy_slice(args); }
};

// What both forms, over the whole vocabulary and over a slice, take alike.
template <typename Args, typename T>
Args loss_args(int64_t rows, int64_t vocab, T* logits, const int32_t* targets, T scale, T softcap,
               bool gradient, T* losses) {
  Args args;
  args.rows = rows;
  args.vocab = args.logits_stride = vocab;
  args.logits = logits;
  args.targets = targets;
  args.scale = scale;
  args.softcap = softcap;
  args.gradient = gradient;
  args.loss = losses;
  return args;
}

}  // namespace

int64_t loss_scratch_bytes(const Operand& x, const Operand& weight,
                           const std::optional<VocabularySlice>& slice,
                           const kernels::KernelTable& table, int threads) {
  return ScratchLayout(x, weight, slice, table, threads).bytes;
}

void loss_traffic(const TrafficCall& call, const std::optional<VocabularySlice>& slice) {
  if (!slice) return;
  const Operand& x = call.inputs[0];
  const int64_t chunk = chunk_rows(x, call.inputs[1], slice);
  for (int64_t first = 0; first < x.shape[0]; first += chunk) {
    const int64_t rows = std::min(chunk, x.shape[0] - first);
    exchange_highest<float>(call.comm, *slice, nullptr, rows);
    exchange_sums<float>(call.comm, *slice, nullptr, rows);
  }
}

void run_loss(const KernelCall& call, const LossHead& head, const LossOutputs& out,
              const std::optional<VocabularySlice>& slice) {
  const Operand& x = call.inputs[0];
  const Operand& weight = call.inputs[1];
  const ScratchLayout layout(x, weight, slice, call.table, call.team.threads);
  kernels::Team team = call.team;
  team.scratch += layout.gemm_offset;
  team.scratch_bytes -= layout.gemm_offset;
  auto* logits = reinterpret_cast<float*>(call.team.scratch);
  auto* losses = reinterpret_cast<float*>(call.team.scratch + layout.loss_offset);
  auto* numbers = reinterpret_cast<float*>(call.team.scratch + layout.exchange_offset);

  const float scale = call.inputs[3].as<float>()[0];
  const auto softcap = static_cast<float>(head.softcap);
  const float* bias = head.bias != nullptr ? head.bias->as<float>() : nullptr;
  const bool gradient = out.d_x != nullptr || out.grad != nullptr;
  const DType dtype = gradient_dtype(x, head);
  double total = 0;
  for (int64_t first = 0; first < x.shape[0]; first += layout.rows) {
    const int64_t rows = std::min(layout.rows, x.shape[0] - first);
    const Chunk chunk{x, weight, bias, first, rows, logits, dtype};
    call.table.gemm(chunk.forward(), team);
    const int32_t* targets = call.inputs[2].as<int32_t>() + first;
    const auto loss_of = [&]<typename Args>(Args) {
      Args args =
          loss_args<Args>(rows, chunk.vocab(), logits, targets, scale, softcap, gradient, losses);
      args.gradient_dtype = dtype;
      return args;
    };
    if (slice) {
      cross_entropy_of_slices(call.comm, *slice, numbers, loss_of(KernelSteps::Args{}),
                              KernelSteps{call.table, team});
    } else {
      call.table.cross_entropy(loss_of(kernels::CrossEntropyArgs{}), team);
    }
    for (int64_t i = 0; i < rows; ++i) total += static_cast<double>(losses[i]);
    if (out.d_x != nullptr) call.table.gemm(chunk.input_grad(*out.d_x), team);
    const bool overwrite = out.overwrite_grad && first == 0;
    if (out.grad != nullptr) call.table.gemm(chunk.weight_grad(*out.grad, overwrite), team);
    if (out.bias_grad != nullptr) {
      call.table.column_sum(chunk.bias_grad(*out.bias_grad, overwrite), team);
    }
  }
  if (out.loss != nullptr) *out.loss = total * static_cast<double>(scale);
}

void reference_loss(const ReferenceCall& call, const LossHead& head, const LossOutputs& out,
                    const std::optional<VocabularySlice>& slice) {
  const Operand& x = call.inputs[0];
  const Operand& weight = call.inputs[1];
  const int64_t rows = x.shape[0], width = x.shape[1], vocab = weight.shape[0];
  std::vector<double> logits(static_cast<size_t>(rows * vocab)), losses(static_cast<size_t>(rows));
  ref::GemmArgs gemm;
  gemm.m = rows;
  gemm.n = vocab;
  gemm.r = width;
  gemm.a = {x.as<double>(), width, 1};
  gemm.b = {weight.as<double>(), 1, width};
  gemm.c = logits.data();
  gemm.c_stride = vocab;
  ref::gemm(gemm);
  if (head.bias != nullptr) {
    for (size_t i = 0; i < logits.size(); ++i) {
      logits[i] += head.bias->as<double>()[i % static_cast<size_t>(vocab)];
    }
  }

  const auto* targets = call.inputs[2].as<int32_t>();
  const double scale = call.inputs[3].as<double>()[0];
  if (slice) {
    std::vector<double> numbers(static_cast<size_t>(kExchanged * rows));
    cross_entropy_of_slices(
        call.comm, *slice, numbers.data(),
        loss_args<ReferenceSteps::Args>(rows, vocab, logits.data(), targets, scale, head.softcap,
                                        true, losses.data()),
        ReferenceSteps{});
  } else {
    ref::cross_entropy(loss_args<ref::CrossEntropyArgs>(rows, vocab, logits.data(), targets, scale,
                                                        head.softcap, true, losses.data()));
  }
  if (out.loss != nullptr) {
    double total = 0;
    for (const double value : losses) total += value;
    *out.loss = total * scale;
  }
  if (out.d_x != nullptr) {
    ref::GemmArgs grad;
    grad.m = rows;
    grad.n = width;
    grad.r = vocab;
    grad.a = {logits.data(), vocab, 1};
    grad.b = {weight.as<double>(), width, 1};
    grad.c = out.d_x->as<double>();
    grad.c_stride = width;
    ref::gemm(grad);
  }
  if (out.grad != nullptr) {
    ref::GemmArgs grad;
    grad.m = vocab;
    grad.n = width;
    grad.r = rows;
    grad.a = {logits.data(), 1, vocab};
    grad.b = {x.as<double>(), width, 1};
    grad.c = out.grad->as<double>();
    grad.c_stride = width;
    grad.accumulate = !out.overwrite_grad;
    ref::gemm(grad);
  }
  if (out.bias_grad != nullptr) {
    double* sum = out.bias_grad->as<double>();
    if (out.overwrite_grad) std::fill_n(sum, vocab, 0.0);
    for (size_t i = 0; i < logits.size(); ++i) sum[i % static_cast<size_t>(vocab)] += logits[i];
  }
}

}  // namespace ashlar::graph
