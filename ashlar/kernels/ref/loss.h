// Cross-entropy in double, loss and gradient: the oracle of ../loss.kernel.cc and the engine of
// fp64 runs. Fields mean what they mean in ../args.h.
#pragma once

#include <cstdint>

namespace ashlar::kernels::ref {

struct CrossEntropyArgs {
  int64_t rows = 0, vocab = 0;
  double* logits = nullptr;  // [T,V], row stride logits_stride; overwritten when gradient is set
  int64_t logits_stride = 0;
  const int32_t* targets = nullptr;  // [T]; < 0: not counted
  double scale = 1;
  double softcap = 0;
  bool gradient = false;
  double* loss = nullptr;  // [T]
  double* lse = nullptr;   // [T]; may be null
};

void cross_entropy(const CrossEntropyArgs& args);

struct CrossEntropySliceArgs {
  int64_t rows = 0, vocab = 0, first = 0;
  double* logits = nullptr;
  int64_t logits_stride = 0;
  const int32_t* targets = nullptr;
  double scale = 1;
  double softcap = 0;
  bool gradient = false;
  double *highest = nullptr, *highest_of_all = nullptr, *sum = nullptr, *target = nullptr;
  double* loss = nullptr;
};

void softmax_slice(const CrossEntropySliceArgs& args);
void rescale_slice(const CrossEntropySliceArgs& args);
void cross_entropy_slice(const CrossEntropySliceArgs& args);

}  // namespace ashlar::kernels::ref
