#include "ashlar/graph/ops/muon.h"

#include "ashlar/graph/ops/shape_rules.h"
#include "ashlar/kernels/ref/muon.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace ashlar::graph {
namespace {

constexpr int kSteps = 5;
constexpr double kA = 3.4445, kB = -4.7750, kC = 2.0315;
constexpr int64_t kBlock = 16;  // rows of an elementwise task

// The matrix lies in scratch with its short side as rows: x [P,Q], P <= Q. Of a matrix that ranks
// share, the own part and those of all come before.
struct Layout {
  int64_t p, q;
  int64_t x, next, gram, square, own, parts, kernel;  // offsets in bytes

  Layout(const Shape& shape, int64_t shared_elements)
      : p(std::min(shape[0], shape[1])), q(std::max(shape[0], shape[1])) {
    int64_t at = 0;
    const auto place = [&at](int64_t elements) {
      return std::exchange(at, (at + elements * int64_t{sizeof(float)} + 63) / 64 * 64);
    };
    x = place(p * q);
    next = place(p * q);
    gram = place(p * p);
    square = place(p * p);
    own = place(shared_elements);
    parts = place(shared_elements > 0 ? p * q : 0);
    kernel = at;
  }
};

kernels::MatrixView rows_of(const float* data, int64_t columns) {
  return {data, DType::kF32, columns, 1};
}
kernels::MatrixView transposed(const float* data, int64_t columns) {
  return {data, DType::kF32, 1, columns};
}

kernels::GemmArgs gemm_args(int64_t m, int64_t n, int64_t r, kernels::MatrixView a,
                            kernels::MatrixView b, float* c) {
  kernels::GemmArgs args;
  args.m = m;
  args.n = n;
  args.r = r;
  args.a = a;
  args.b = b;
  args.c = c;
  args.c_stride = n;
  return args;
}

kernels::GemmArgs gram_args(const Layout& l, const float* x, float* gram) {
  return gemm_args(l.p, l.p, l.q, rows_of(x, l.q), transposed(x, l.q), gram);
}
kernels::GemmArgs square_args(const Layout& l, const float* gram, float* square) {
  return gemm_args(l.p, l.p, l.p, rows_of(gram, l.p), rows_of(gram, l.p), square);
}
kernels::GemmArgs apply_args(const Layout& l, const float* polynomial, const float* x, float* y) {
  return gemm_args(l.p, l.q, l.p, rows_of(polynomial, l.p), rows_of(x, l.q), y);
}

// f(first, last) over blocks of rows.
template <typename F>
void for_rows(const kernels::Team& team, int64_t rows, const F& f) {
  kernels::parallel_for(team, (rows + kBlock - 1) / kBlock, [&](int64_t block, int) {
    f(block * kBlock, std::min(rows, (block + 1) * kBlock));
  });
}

}  // namespace

std::string MuonOp::attributes() const {
  return fmt::format("momentum={} weight_decay={}{}", spec_.momentum, spec_.weight_decay,
                     share_ ? " over " + share_->on.group.name : "");
}

std::vector<AxisStrategy> MuonOp::strategies(const AxisSite& site) const {
  const AxisPlacement& part = site.now[kParam];
  if (!part.is_split()) return {};
  return {{{part, part, part, graph::whole(), graph::whole()}, {part, part}}};
}

OpPtr MuonOp::local(const LocalSite& site) const {
  for (size_t axis = 0; axis < site.mesh.axes().size(); ++axis) {
    const AxisPlacement& placement = site.placements[kParam].axes[axis];
    const std::string& name = site.mesh.axes()[axis].name;
    if (!placement.is_split() || site.mesh.size(name) == 1) continue;
    const comm::Group group = site.group(name);
    const int64_t whole = site.whole[kParam].shape[placement.dim].offset;
    auto op = std::make_shared<MuonOp>(spec_);
    op->share_ = {.on = {group, site.label},
                  .dim = placement.dim,
                  .whole = whole,
                  .part = slice_of(whole, group.size(), group.index)};
    return op;
  }
  return nullptr;
}

Shape MuonOp::whole(const Shape& part) const {
  if (!share_) return part;
  return share_->dim == 0 ? Shape{share_->whole, part[1]} : Shape{part[0], share_->whole};
}

std::vector<int64_t> MuonOp::counts(const Shape& part) const {
  const int ranks = share_->on.group.size();
  std::vector<int64_t> counts;
  for (int i = 0; i < ranks; ++i) {
    counts.push_back(slice_of(share_->whole, ranks, i).length * part[1 - share_->dim]);
  }
  return counts;
}

void MuonOp::traffic(const TrafficCall& call) const {
  if (!share_) return;
  const Shape& part = call.inputs[kParam].shape;
  call.comm.all_gather(share_->on.group, {DType::kF32, nullptr, part.elements()}, counts(part),
                       {DType::kF32, nullptr, whole(part).elements()}, share_->on.label);
}

template <typename T>
void MuonOp::gather(comm::Communicator* comm, const T* own, const Shape& part, T* parts,
                    T* all) const {
  ASHLAR_CHECK(comm != nullptr, "muon: {} is shared with ranks that are not there",
               share_->on.label);
  const std::vector<int64_t> counts = this->counts(part);
  const Shape shape = whole(part);
  T* to = share_->dim == 0 ? all : parts;  // rows come in order
  comm->all_gather(
      share_->on.group, comm::buffer(std::span(own, static_cast<size_t>(part.elements()))), counts,
      comm::buffer(std::span(to, static_cast<size_t>(shape.elements()))), share_->on.label);
  if (share_->dim == 0) return;
  int64_t first = 0;
  for (const int64_t count : counts) {
    const int64_t columns = count / shape[0];
    for (int64_t i = 0; i < shape[0]; ++i) {
      std::copy_n(parts + i * columns, columns, all + i * shape[1] + first);
    }
    first += columns;
    parts += count;
  }
}

std::vector<ValueType> MuonOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, kInputs);
  check_rank(kind(), "param", in[kParam], 2);
  check_dtype(kind(), "param", in[kParam], DType::kF32);
  check_type(kind(), "grad", in[kGrad], in[kParam]);
  check_type(kind(), "momentum", in[kMomentum], in[kParam]);
  check_type(kind(), "lr", in[kLr], {DType::kF32, {1}});
  check_type(kind(), "scale", in[kScale], {DType::kF32, {1}});
  return {in[kParam], in[kMomentum]};
}

std::vector<Alias> MuonOp::aliases() const { return {{0, kParam, true}, {1, kMomentum, true}}; }

Cost MuonOp::cost(std::span<const Operand> in, std::span<const Operand> out) const {
  const Layout l(whole(in[kParam].shape), 0);
  const auto p = static_cast<double>(l.p), q = static_cast<double>(l.q);
  return {kSteps * (4 * p * p * q + 2 * p * p * p), Op::cost(in, out).bytes};
}

int64_t MuonOp::scratch_bytes(std::span<const Operand> in, std::span<const Operand>,
                              const kernels::KernelTable& table, int threads) const {
  const Shape& part = in[kParam].shape;
  const Layout l(whole(part), share_ ? part.elements() : 0);
  return l.kernel + std::max({table.gemm_scratch(gram_args(l, nullptr, nullptr), threads),
                              table.gemm_scratch(square_args(l, nullptr, nullptr), threads),
                              table.gemm_scratch(apply_args(l, nullptr, nullptr, nullptr), threads),
                              table.sum_squares_scratch(l.p * l.q)});
}

void MuonOp::run(const KernelCall& call) const {
  const Shape& part = call.inputs[kParam].shape;
  const Shape shape = whole(part);
  const Layout l(shape, share_ ? part.elements() : 0);
  const int64_t rows = part[0], cols = part[1];
  const bool tall = shape[0] > shape[1];
  const auto place = [&](int64_t offset) {
    return reinterpret_cast<float*>(call.team.scratch + offset);
  };
  float *x = place(l.x), *next = place(l.next);
  float *gram = place(l.gram), *square = place(l.square);
  kernels::Team team = call.team;
  team.scratch += l.kernel;
  team.scratch_bytes -= l.kernel;

  const auto* grad = call.inputs[kGrad].as<float>();
  auto* momentum = call.outputs[1].as<float>();
  const float grad_scale = call.inputs[kScale].as<float>()[0];
  const auto beta = static_cast<float>(spec_.momentum);
  float* own = share_ ? place(l.own) : next;
  for_rows(team, rows, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      for (int64_t j = 0; j < cols; ++j) {
        const float g = grad[i * cols + j] * grad_scale;
        float& m = momentum[i * cols + j];
        m = beta * m + (1 - beta) * g;
        own[i * cols + j] = beta * m + (1 - beta) * g;  // Nesterov
      }
    }
  });
  if (share_) gather(call.comm, own, part, place(l.parts), next);
  for_rows(team, shape[0], [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      for (int64_t j = 0; j < shape[1]; ++j) {
        x[tall ? j * shape[0] + i : i * shape[1] + j] = next[i * shape[1] + j];
      }
    }
  });

  double squares = 0;
  call.table.sum_squares({l.p * l.q, x, &squares}, team);
  const auto shrink = static_cast<float>(1 / (std::sqrt(squares) + 1e-7));
  for_rows(team, l.p, [&](int64_t first, int64_t last) {
    for (int64_t i = first * l.q; i < last * l.q; ++i) x[i] *= shrink;
  });

  for (int step = 0; step < kSteps; ++step) {
    // x <- (a I + b A + c A^2) x with A = x x^T: one product with x instead of two.
    call.table.gemm(gram_args(l, x, gram), team);
    call.table.gemm(square_args(l, gram, square), team);
    for_rows(team, l.p, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        float* row = square + i * l.p;
        const float* gram_row = gram + i * l.p;
        for (int64_t j = 0; j < l.p; ++j) {
          row[j] = static_cast<float>(kB) * gram_row[j] + static_cast<float>(kC) * row[j];
        }
        row[i] += static_cast<float>(kA);
      }
    });
    call.table.gemm(apply_args(l, square, x, next), team);
    std::swap(x, next);
  }

  auto* param = call.outputs[0].as<float>();
  const float lr = call.inputs[kLr].as<float>()[0];
  const auto keep = static_cast<float>(1 - static_cast<double>(lr) * spec_.weight_decay);
  const auto rate =
      static_cast<float>(static_cast<double>(lr) * 0.2 * std::sqrt(static_cast<double>(l.q)));
  const int64_t row = share_ && share_->dim == 0 ? share_->part.offset : 0;
  const int64_t column = share_ && share_->dim == 1 ? share_->part.offset : 0;
  for_rows(team, rows, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      for (int64_t j = 0; j < cols; ++j) {
        float& p = param[i * cols + j];
        const int64_t r = row + i, c = column + j;
        p = keep * p - rate * x[tall ? c * shape[0] + r : r * shape[1] + c];
      }
    }
  });
}

void MuonOp::reference(const ReferenceCall& call) const {
  const Shape& part = call.inputs[kParam].shape;
  const Shape shape = whole(part);
  auto* param = call.outputs[0].as<double>();
  auto* momentum = call.outputs[1].as<double>();
  const auto* grad = call.inputs[kGrad].as<double>();
  const auto elements = static_cast<size_t>(share_ ? shape.elements() : 0);
  std::vector<double> parts(elements), params(elements), momenta(elements), grads(elements);
  if (share_) {
    gather<double>(call.comm, param, part, parts.data(), params.data());
    gather<double>(call.comm, momentum, part, parts.data(), momenta.data());
    gather<double>(call.comm, grad, part, parts.data(), grads.data());
  }
  kernels::ref::MuonArgs args;
  args.rows = shape[0];
  args.cols = shape[1];
  args.param = share_ ? params.data() : param;
  args.momentum = share_ ? momenta.data() : momentum;
  args.grad = share_ ? grads.data() : grad;
  args.grad_scale = call.inputs[kScale].as<double>()[0];
  args.lr = call.inputs[kLr].as<double>()[0];
  args.beta = spec_.momentum;
  args.weight_decay = spec_.weight_decay;
  args.newton_schulz_steps = kSteps;
  kernels::ref::muon(args);
  if (!share_) return;
  const int64_t row = share_->dim == 0 ? share_->part.offset : 0;
  const int64_t column = share_->dim == 1 ? share_->part.offset : 0;
  for (int64_t i = 0; i < part[0]; ++i) {
    const auto from = static_cast<std::ptrdiff_t>((row + i) * shape[1] + column);
    std::copy_n(params.begin() + from, part[1], param + i * part[1]);
    std::copy_n(momenta.begin() + from, part[1], momentum + i * part[1]);
  }
}

}  // namespace ashlar::graph
