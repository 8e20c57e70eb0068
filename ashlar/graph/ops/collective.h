// Communication as ops. The shard pass writes them behind differentiation, for one rank: `group` is
// that rank's, `label` the layer path that errors name. Sums are added in the group's rank order.
// Rows are dealt to the ranks of a group as mesh/slice.h has it. Dims: N rows of all, n of this
// rank.
#pragma once

#include "ashlar/graph/graph.h"

#include <string>

namespace ashlar::graph {

struct GroupLabel {
  comm::Group group;
  std::string label;
};

// (x...) -> each summed over the group. Gradients in one bucket are one op. In place for Variables.
class AllReduceOp : public Op {
 public:
  AllReduceOp(GroupLabel on, int values, bool variables, comm::Reduce reduce = comm::Reduce::kSum)
      : on_(std::move(on)), values_(values), variables_(variables), reduce_(reduce) {}
  const comm::Group& group() const { return on_.group; }
  int values() const { return values_; }
  // The same of another number of values.
  std::shared_ptr<const AllReduceOp> over(int values) const {
    return std::make_shared<AllReduceOp>(on_, values, variables_, reduce_);
  }
  std::string_view kind() const override { return "all_reduce"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void run(const KernelCall& call) const override;
  std::vector<comm::Pending> start(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<Alias> aliases() const override;

 private:
  GroupLabel on_;
  int values_;
  bool variables_;
  comm::Reduce reduce_;
};

// (x [n,...]) -> [N,...], the rows of all ranks in their order.
class AllGatherOp : public Op {
 public:
  AllGatherOp(GroupLabel on, Dim rows) : on_(std::move(on)), rows_(rows) {}
  std::string_view kind() const override { return "all_gather"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;

 private:
  GroupLabel on_;
  Dim rows_;
};

// (part [n,...], variable [N,...]) -> the variable with the parts of all ranks in place.
class GatherIntoOp : public Op {
 public:
  explicit GatherIntoOp(GroupLabel on) : on_(std::move(on)) {}
  std::string_view kind() const override { return "gather_into"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<Alias> aliases() const override { return {{0, 1, true}}; }

 private:
  GroupLabel on_;
};

// (x [N,...], a term of the sum) -> [n,...], this rank's rows of the sum. In place, as a part, for
// Variables: the other rows then hold nothing of use.
class ReduceScatterOp : public Op {
 public:
  // `part`: this rank's rows, for Variables; else `rows` is what they are bound to.
  ReduceScatterOp(GroupLabel on, Slice part)
      : on_(std::move(on)), rows_(part.length), part_(part), variable_(true) {}
  ReduceScatterOp(GroupLabel on, Dim rows) : on_(std::move(on)), rows_(rows) {}
  std::string_view kind() const override { return "reduce_scatter"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void run(const KernelCall& call) const override;
  std::vector<comm::Pending> start(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<Alias> aliases() const override;

 private:
  GroupLabel on_;
  Dim rows_;
  Slice part_;
  bool variable_ = false;
};

// (x [N,...], a term of the sum; grad [n,...]) -> grad plus this rank's rows of the sum, or instead
// of it in the first microbatch of a step when `first`.
class ReduceIntoOp : public Op {
 public:
  ReduceIntoOp(GroupLabel on, bool first) : on_(std::move(on)), first_(first) {}
  std::string_view kind() const override { return "reduce_into"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  int64_t scratch_bytes(std::span<const Operand> inputs, std::span<const Operand> outputs,
                        const kernels::KernelTable& table, int threads) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<Alias> aliases() const override { return {{0, 1, true}}; }

 private:
  GroupLabel on_;
  bool first_;
};

// (x [N,...]) -> this rank's rows: a part of a Variable, or a copy.
class RowsOp : public Op {
 public:
  explicit RowsOp(Slice part) : rows_(part.length), part_(part) {}  // of a Variable
  // Of a value: the index-th of `parts` slices, `rows` being what its length is bound to.
  RowsOp(Dim rows, int parts, int index) : rows_(rows), parts_(parts), index_(index) {}
  std::string_view kind() const override { return "rows"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<Alias> aliases() const override;

 private:
  Dim rows_;
  Slice part_;
  int parts_ = 0, index_ = 0;
};

// A value of zeros: where a gradient is made before it is summed over ranks.
class ZerosOp : public Op {
 public:
  explicit ZerosOp(ValueType type) : type_(std::move(type)) {}
  std::string_view kind() const override { return "zeros"; }
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;

 private:
  ValueType type_;
};

}  // namespace ashlar::graph
