// Communication as ops. The shard pass writes them behind differentiation, for one rank: `group` is
// that rank's, `label` the layer path that errors name. Sums are added in the group's rank order.
// Rows are dealt to the ranks of a group as mesh/slice.h has it. Dims: N rows of all, n of this
// rank. Ops that go on are started and left under way: goes_on() below.
#pragma once

#include "ashlar/graph/graph.h"
#include "ashlar/graph/traffic.h"

#include <string>

namespace ashlar::graph {

struct GroupLabel {
  comm::Group group;
  std::string label;
};

// (x...) -> each summed over the group. Gradients in one bucket are one op. In place for Variables.
class AllReduceOp : public Op, public Talks {
 public:
  AllReduceOp(GroupLabel on, int values, bool variables, comm::Reduce reduce = comm::Reduce::kSum)
      : on_(std::move(on)), values_(values), variables_(variables), reduce_(reduce) {}
  const comm::Group& group() const { return on_.group; }
  int values() const { return values_; }
  // The same of another number of values.
  std::shared_ptr<const AllReduceOp> over(int values) const {
    return std::make_shared<AllReduceOp>(on_, values, variables_, reduce_);
  }
  // The same of whole Variables that lie one behind the other: one collective.
  std::shared_ptr<const AllReduceOp> over_block(int values) const {
    auto op = std::make_shared<AllReduceOp>(on_, values, variables_, reduce_);
    op->block_ = true;
    return op;
  }
  bool variables() const { return variables_; }
  bool block() const { return block_; }
  std::string_view kind() const override { return "all_reduce"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void traffic(const TrafficCall& call) const override;
  void run(const KernelCall& call) const override;
  std::vector<comm::Pending> start(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<Alias> aliases() const override;

 private:
  GroupLabel on_;
  int values_;
  bool variables_;
  comm::Reduce reduce_;
  bool block_ = false;
};

// (x [n,...]) -> [N,...], the rows of all ranks in their order. Goes on where x is a Variable,
// which nothing changes meanwhile.
class AllGatherOp : public Op, public Talks {
 public:
  AllGatherOp(GroupLabel on, Dim rows, bool variable = false)
      : on_(std::move(on)), rows_(rows), variable_(variable) {}
  const comm::Group& group() const { return on_.group; }
  bool variable() const { return variable_; }
  std::string_view kind() const override { return "all_gather"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void traffic(const TrafficCall& call) const override;
  void run(const KernelCall& call) const override;
  std::vector<comm::Pending> start(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;

 private:
  GroupLabel on_;
  Dim rows_;
  bool variable_;
};

// (part [n,...], variable [N,...]) -> the variable with the parts of all ranks in place.
class GatherIntoOp : public Op, public Talks {
 public:
  explicit GatherIntoOp(GroupLabel on) : on_(std::move(on)) {}
  std::string_view kind() const override { return "gather_into"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void traffic(const TrafficCall& call) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<Alias> aliases() const override { return {{0, 1, true}}; }

 private:
  GroupLabel on_;
};

// (x [N,...], a term of the sum) -> [n,...], this rank's rows of the sum. In place, as a part, for
// Variables, of which one op takes a bucket: the other rows then hold nothing of use.
class ReduceScatterOp : public Op, public Talks {
 public:
  // `parts`: this rank's rows of each Variable; else `rows` is what they are bound to.
  ReduceScatterOp(GroupLabel on, std::vector<Slice> parts)
      : on_(std::move(on)), parts_(std::move(parts)) {}
  ReduceScatterOp(GroupLabel on, Dim rows) : on_(std::move(on)), rows_(rows) {}
  const comm::Group& group() const { return on_.group; }
  const std::vector<Slice>& parts() const { return parts_; }  // empty: of a value
  // The same of other Variables.
  std::shared_ptr<const ReduceScatterOp> over(std::vector<Slice> parts) const {
    return std::make_shared<ReduceScatterOp>(on_, std::move(parts));
  }
  std::string_view kind() const override { return "reduce_scatter"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void traffic(const TrafficCall& call) const override;
  void run(const KernelCall& call) const override;
  std::vector<comm::Pending> start(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<Alias> aliases() const override;

 private:
  GroupLabel on_;
  Dim rows_;
  std::vector<Slice> parts_;
};

// (x [N,...] ..., terms of sums; grad [n,...] ...) -> each grad plus this rank's rows of the sum,
// or instead of it in the first microbatch of a step where `first`. Spoils x. In the order of
// ranks, grad is added to this rank's term. All of one dtype.
class ReduceIntoOp : public Op, public Talks {
 public:
  ReduceIntoOp(GroupLabel on, std::vector<bool> first)
      : on_(std::move(on)), first_(std::move(first)) {}
  const comm::Group& group() const { return on_.group; }
  const std::vector<bool>& first() const { return first_; }  // of each
  // The same of a bucket of terms. It goes on: behind it is a FreeTermsOp, until which x stays.
  std::shared_ptr<const ReduceIntoOp> over_bucket(std::vector<bool> first) const {
    auto op = std::make_shared<ReduceIntoOp>(on_, std::move(first));
    op->terms_stay_ = true;
    return op;
  }
  bool terms_stay() const { return terms_stay_; }
  std::string_view kind() const override { return "reduce_into"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void traffic(const TrafficCall& call) const override;
  void run(const KernelCall& call) const override;
  std::vector<comm::Pending> start(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<Alias> aliases() const override;

 private:
  template <typename T>
  std::vector<comm::Pending> start(comm::Communicator& comm, std::span<const Operand> inputs,
                                   bool first_microbatch) const;

  GroupLabel on_;
  std::vector<bool> first_;
  bool terms_stay_ = false;
};

// (grad..., x...) -> the grads, once they are there: until then the terms x keep their memory.
class FreeTermsOp : public Op {
 public:
  explicit FreeTermsOp(int grads) : grads_(grads) {}
  std::string_view kind() const override { return "free_terms"; }
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void run(const KernelCall&) const override {}
  void reference(const ReferenceCall&) const override {}
  std::vector<Alias> aliases() const override;

 private:
  int grads_;
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

// Whether what start() leaves under way need not be waited for at once: a step that reads a result
// does that, or the end of the Program.
bool goes_on(const Op& op);

}  // namespace ashlar::graph
