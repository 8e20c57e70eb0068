#include "ashlar/train/snapshot.h"

#include "ashlar/base/error.h"

#include <algorithm>
#include <cstring>

namespace ashlar::train {
namespace {

// Between two ranks messages of one tag arrive in the order of the plan, which both follow.
constexpr int kTag = comm::Communicator::kTags - 1;

}  // namespace

Snapshot::Snapshot(const SavePlan& plan, const StateLayout& layout,
                   const runtime::VariableStore& store, comm::Communicator* comm)
    : plan_(plan), store_(store), comm_(comm), rank_(comm != nullptr ? comm->rank() : 0) {
  for (const Transfer& transfer : plan.transfers) {
    if (transfer.to != rank_) continue;
    const Key key{transfer.name, str(transfer.piece)};
    if (parameters_.contains(key)) continue;
    Piece& piece = parameters_[key];
    piece.dtype = layout.find(transfer.name).dtype;
    piece.part = transfer.piece;
  }
  for (const MomentFile& file : plan.moments) {
    if (file.writer != rank_) continue;
    for (const MomentPart& part : file.parts) moments_[part.name];
  }
}

void Snapshot::take() {
  for (auto& [key, piece] : parameters_) {
    if (piece.tensor.empty()) piece.tensor = Tensor(piece.dtype, Shape(lengths(piece.part)));
  }
  std::vector<Tensor> packed;
  std::vector<comm::Pending> sends = start_sends(packed);
  for (auto& [name, copy] : moments_) {
    const Tensor& tensor = store_.at(name);
    if (copy.empty()) copy = Tensor(tensor.dtype(), tensor.shape());
    std::memcpy(copy.data(), tensor.data(), tensor.bytes());
  }
  for (const Transfer& transfer : plan_.transfers) {
    if (transfer.to != rank_) continue;
    if (transfer.from == rank_) {
      Piece& piece = parameters_.at(Key{transfer.name, str(transfer.piece)});
      copy_overlap(transfer.held, store_.at(transfer.name).data(), piece.part, piece.tensor.data(),
                   size_of(piece.dtype));
    } else {
      receive(transfer);
    }
  }
  for (comm::Pending& send : sends) send.wait();
}

// What goes out whole goes from where it lies: nothing changes before the sends are done.
std::vector<comm::Pending> Snapshot::start_sends(std::vector<Tensor>& packed) {
  std::vector<comm::Pending> sends;
  for (const Transfer& transfer : plan_.transfers) {
    if (transfer.from != rank_ || transfer.to == rank_) continue;
    const Tensor& held = store_.at(transfer.name);
    const Part common = *overlap(transfer.held, transfer.piece);
    Tensor sent = held;
    if (common != transfer.held) {
      sent = Tensor(held.dtype(), Shape(lengths(common)));
      copy_overlap(transfer.held, held.data(), common, sent.data(), size_of(held.dtype()));
    }
    packed.push_back(sent);
    sends.push_back(comm_->start_send(group(), transfer.to, kTag,
                                      {sent.dtype(), sent.data(), sent.elements()}, transfer.name));
  }
  return sends;
}

void Snapshot::receive(const Transfer& transfer) {
  Piece& piece = parameters_.at(Key{transfer.name, str(transfer.piece)});
  const Part common = *overlap(transfer.held, transfer.piece);
  Tensor arrived(piece.dtype, Shape(lengths(common)));
  comm_->recv(group(), transfer.from, kTag, {arrived.dtype(), arrived.data(), arrived.elements()},
              transfer.name);
  copy_overlap(common, arrived.data(), piece.part, piece.tensor.data(), size_of(piece.dtype));
}

comm::Group Snapshot::group() const {
  comm::Group world = comm_->world();
  world.name = "checkpoint";  // counted apart
  return world;
}

const Tensor& Snapshot::parameter(const bundle::ParameterPart& part) const {
  return parameters_.at({part.name, str(part.part)}).tensor;
}

const Tensor& Snapshot::moment(const std::string& name) const { return moments_.at(name); }

}  // namespace ashlar::train
