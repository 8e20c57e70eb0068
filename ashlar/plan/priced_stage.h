// A stage of a pipeline that counts where another would compute: run under runtime::Pipeline with a
// communicator that counts, a schedule sends just what it would send.
#pragma once

#include "ashlar/comm/communicator.h"
#include "ashlar/runtime/stage_runner.h"

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace ashlar::plan {

class PricedStage final : public runtime::StageRunner {
 public:
  // All but the bool outlive this.
  PricedStage(const graph::Graph& graph, bool splits_backward, std::span<const int32_t> row_start,
              comm::Communicator& comm);

  bool splits_backward() const override { return splits_backward_; }
  DType held(DType dtype) const override { return dtype; }
  void select(int, const graph::Bindings& bindings, runtime::SlotPair) override {
    bindings_ = bindings;
  }
  void bind_input(int, const void*, DType) override {}
  void run(runtime::StageProgram program, const graph::RunState& state) override;
  // Memory that is there, and holds nothing of use.
  graph::Operand output(const std::string& name) const override;
  comm::Buffer variable(const std::string& name) override;

 private:
  std::byte* memory(int64_t bytes) const;

  const graph::Graph& graph_;
  bool splits_backward_;
  std::span<const int32_t> row_start_;
  comm::Communicator& comm_;
  graph::Bindings bindings_;
  mutable std::unique_ptr<std::byte[]> memory_;
  mutable int64_t memory_bytes_ = 0;
};

}  // namespace ashlar::plan
