// Activations, gated products, sums, scaling and soft caps, forward and backward; dropout is in
// elementwise_dropout.h.
#include "ashlar/kernels/elementwise_activation.h"
#include "ashlar/kernels/elementwise_dropout.h"
#include "ashlar/kernels/gate_row.h"
#include "ashlar/kernels/rows_parallel.h"
#include "ashlar/kernels/table.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {
namespace {

// f(i, count) for every vector of [0, elements), shared among threads.
template <typename F>
ASHLAR_INLINE void parallel_vecs(const Team& team, int64_t elements, F f) {
  parallel_ranges(team, elements, kTaskElements, [&](int64_t begin, int64_t end) {
    for_each_vec(end - begin, [&](int64_t i, auto count) { f(begin + i, count); });
  });
}

// f(element, activation) for the types of both.
template <typename F>
ASHLAR_INLINE void with_types(DType dtype, Activation activation, F f) {
  with_element(dtype, [&](auto element) {
    with_activation(activation, [&](auto function) { f(element, function); });
  });
}

void activation(const ActivationArgs& args, const Team& team) {
  with_types(args.dtype, args.activation, [&](auto element, auto function) {
    using T = decltype(element);
    const T* x = static_cast<const T*>(args.x);
    T* y = static_cast<T*>(args.y);
    parallel_vecs(team, args.elements, [&](int64_t i, auto count) {
      store(y + i, function.value(load(x + i, count)), count);
    });
  });
}

void activation_grad(const ActivationGradArgs& args, const Team& team) {
  with_types(args.dtype, args.activation, [&](auto element, auto function) {
    using T = decltype(element);
    const T* x = static_cast<const T*>(args.x);
    const T* d_y = static_cast<const T*>(args.d_y);
    T* d_x = static_cast<T*>(args.d_x);
    parallel_vecs(team, args.elements, [&](int64_t i, auto count) {
      store(d_x + i, load(d_y + i, count) * function.grad(load(x + i, count)), count);
    });
  });
}

void gated(const GatedArgs& args, const Team& team) {
  with_types(args.dtype, args.activation, [&](auto element, auto function) {
    using T = decltype(element);
    parallel_rows(team, args.rows, args.width, [&](int64_t t) {
      const T* gate = static_cast<const T*>(args.gate) + t * args.gate_stride;
      const T* up = static_cast<const T*>(args.up) + t * args.up_stride;
      T* out = static_cast<T*>(args.out) + t * args.width;
      gate_row(function, gate, up, out, args.width);
    });
  });
}

void gated_grad(const GatedGradArgs& args, const Team& team) {
  const GatedArgs& forward = args.forward;
  with_types(forward.dtype, forward.activation, [&](auto element, auto function) {
    using T = decltype(element);
    parallel_rows(team, forward.rows, forward.width, [&](int64_t t) {
      const T* gates = static_cast<const T*>(forward.gate) + t * forward.gate_stride;
      const T* ups = static_cast<const T*>(forward.up) + t * forward.up_stride;
      const T* d_outs = static_cast<const T*>(args.d_out) + t * forward.width;
      T* d_gates = static_cast<T*>(args.d_gate) + t * forward.width;
      T* d_ups = static_cast<T*>(args.d_up) + t * forward.width;
      for_each_vec(forward.width, [&](int64_t i, auto count) {
        const Vec gate = load(gates + i, count), up = load(ups + i, count);
        const Vec d_out = load(d_outs + i, count);
        store(d_gates + i, d_out * up * function.grad(gate), count);
        store(d_ups + i, d_out * function.value(gate), count);
      });
    });
  });
}

void add(const AddArgs& args, const Team& team) {
  with_element(args.dtype, [&](auto element) {
    using T = decltype(element);
    const T* a = static_cast<const T*>(args.a);
    const T* b = static_cast<const T*>(args.b);
    T* y = static_cast<T*>(args.y);
    parallel_vecs(team, args.elements, [&](int64_t i, auto count) {
      store(y + i, load(a + i, count) + load(b + i, count), count);
    });
  });
}

void add_term(const AddTermArgs& args, const Team& team) {
  with_element(args.sum_dtype, [&](auto element) {
    auto* sum = static_cast<decltype(element)*>(args.sum);
    parallel_vecs(team, args.elements, [&](int64_t i, auto count) {
      const Vec term = load(args.term + i, count);
      store(sum + i, args.begins ? term : load(sum + i, count) + term, count);
    });
  });
}

void scale(const ScaleArgs& args, const Team& team) {
  with_element(args.dtype, [&](auto element) {
    using T = decltype(element);
    const T* x = static_cast<const T*>(args.x);
    T* y = static_cast<T*>(args.y);
    const Vec factor = broadcast(args.factor);
    parallel_vecs(team, args.elements,
                  [&](int64_t i, auto count) { store(y + i, load(x + i, count) * factor, count); });
  });
}

void softcap(const SoftcapArgs& args, const Team& team) {
  with_element(args.dtype, [&](auto element) {
    using T = decltype(element);
    const T* x = static_cast<const T*>(args.x);
    T* y = static_cast<T*>(args.y);
    const Vec cap = broadcast(args.cap), inverse = broadcast(1 / args.cap);
    parallel_vecs(team, args.elements, [&](int64_t i, auto count) {
      store(y + i, cap * tanh(load(x + i, count) * inverse), count);
    });
  });
}

void softcap_grad(const SoftcapGradArgs& args, const Team& team) {
  with_element(args.dtype, [&](auto element) {
    using T = decltype(element);
    const T* y = static_cast<const T*>(args.y);
    const T* d_y = static_cast<const T*>(args.d_y);
    T* d_x = static_cast<T*>(args.d_x);
    const Vec inverse = broadcast(1 / args.cap);
    parallel_vecs(team, args.elements, [&](int64_t i, auto count) {
      const Vec t = load(y + i, count) * inverse;
      store(d_x + i, load(d_y + i, count) * fnma(t, t, broadcast(1)), count);
    });
  });
}

void dropout(const DropoutArgs& args, const Team& team) {
  with_element(args.dtype, [&](auto element) {
    // Tasks end at multiples of kDropoutGroup of the global index.
    const int64_t skew = static_cast<int64_t>(args.first_element % kDropoutGroup);
    parallel_ranges(team, args.elements + skew, kTaskElements, [&](int64_t begin, int64_t end) {
      const int64_t first = begin - skew;
      drop_range<decltype(element)>(args, first < 0 ? 0 : first, end - skew);
    });
  });
}

}  // namespace

void fill_elementwise(KernelTable& table) {
  table.activation = activation;
  table.activation_grad = activation_grad;
  table.gated = gated;
  table.gated_grad = gated_grad;
  table.add = add;
  table.add_term = add_term;
  table.scale = scale;
  table.softcap = softcap;
  table.softcap_grad = softcap_grad;
  table.dropout = dropout;
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
