// How the loss of a linear head is computed, with or without its gradients: a chunk of rows at a
// time, logits in scratch, over the whole vocabulary or over one rank's slice of it. The inputs of
// a call are those of the ops in loss.h.
#pragma once

#include "ashlar/graph/op.h"
#include "ashlar/graph/ops/vocabulary.h"
#include "ashlar/graph/traffic.h"

namespace ashlar::graph {

struct LossHead {  // behind the product
  double softcap = 0;
  const Operand* bias = nullptr;
};
struct LossOutputs {  // those asked for
  double* loss = nullptr;
  const Operand* d_x = nullptr;
  const Operand* grad = nullptr;
  const Operand* bias_grad = nullptr;
  bool overwrite_grad = false;
};

int64_t loss_scratch_bytes(const Operand& x, const Operand& weight,
                           const std::optional<VocabularySlice>& slice,
                           const kernels::KernelTable& table, int threads);
void loss_traffic(const TrafficCall& call, const std::optional<VocabularySlice>& slice);
void run_loss(const KernelCall& call, const LossHead& head, const LossOutputs& out,
              const std::optional<VocabularySlice>& slice);
void reference_loss(const ReferenceCall& call, const LossHead& head, const LossOutputs& out,
                    const std::optional<VocabularySlice>& slice);

}  // namespace ashlar::graph
