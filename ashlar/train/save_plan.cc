#include "ashlar/train/save_plan.h"

#include "ashlar/train/moment_files.h"

#include <algorithm>
#include <set>
#include <utility>

namespace ashlar::train {
namespace {

using graph::VariableKind;

// From itself where it can; otherwise writers spread over the ranks that hold the part.
int sender(const HeldPart& held, int writer) {
  if (std::ranges::binary_search(held.ranks, writer)) return writer;
  return held.ranks[static_cast<size_t>(writer) % held.ranks.size()];
}

std::vector<Transfer> plan_transfers(const StateLayout& layout, const bundle::WeightPlan& weights) {
  std::vector<Transfer> transfers;
  for (const formats::ModelFile& file : weights.files) {
    for (const formats::TensorSpec& tensor : file.tensors) {
      for (const auto& [name, piece] : weights.parts.at(tensor.name)) {
        for (const HeldPart& held : layout.find(name).parts) {
          if (!overlap(held.part, piece)) continue;
          transfers.push_back({name, piece, held.part, sender(held, file.writer), file.writer});
        }
      }
    }
  }
  return transfers;
}

// Each part to the one of its holders that has least to write so far.
std::vector<MomentFile> deal_moments(const StateLayout& layout) {
  std::vector<MomentFile> files(static_cast<size_t>(layout.ranks));
  std::vector<int64_t> bytes(files.size());
  for (const StateVariable& variable : layout.variables) {
    if (variable.kind != VariableKind::kOptimizer) continue;
    for (const HeldPart& held : variable.parts) {
      const int writer = *std::ranges::min_element(
          held.ranks, {}, [&](int rank) { return bytes[static_cast<size_t>(rank)]; });
      const auto at = static_cast<size_t>(writer);
      files[at].writer = writer;
      files[at].parts.push_back({variable.name, variable.dtype, variable.whole, held.part});
      bytes[at] += elements(held.part) * size_of(variable.dtype);
    }
  }
  // One rank's is there even without moments.
  if (files.size() > 1) std::erase_if(files, [](const MomentFile& f) { return f.parts.empty(); });
  for (size_t i = 0; i < files.size(); ++i) files[i].name = moment_file_name(layout.ranks, i);
  return files;
}

}  // namespace

SavePlan plan_save(const StateLayout& layout, const models::DecoderConfig& model,
                   const bundle::SaveOptions& options) {
  SavePlan plan;
  plan.weights = bundle::plan_weights(
      model, [&](const std::string& name) { return layout.find(name).whole; }, options,
      layout.ranks);
  plan.transfers = plan_transfers(layout, plan.weights);
  plan.moments = deal_moments(layout);
  return plan;
}

int64_t save_bytes(const SavePlan& plan, const StateLayout& layout, int rank) {
  int64_t copy = 0, making = 0;
  std::set<std::pair<std::string, std::string>> pieces;  // several ranks may send parts of one
  for (const Transfer& transfer : plan.transfers) {
    if (transfer.to != rank || !pieces.emplace(transfer.name, str(transfer.piece)).second) continue;
    copy += elements(transfer.piece) * size_of(layout.find(transfer.name).dtype);
  }
  for (const MomentFile& file : plan.moments) {
    if (file.writer != rank) continue;
    for (const MomentPart& part : file.parts) copy += elements(part.part) * size_of(part.dtype);
  }
  for (const formats::ModelFile& file : plan.weights.files) {
    if (file.writer != rank) continue;
    for (const formats::TensorSpec& tensor : file.tensors) {
      // Pieces are laid end to end, what they make is transposed: a new tensor each.
      const int copies = (plan.weights.parts.at(tensor.name).size() > 1 ? 1 : 0) +
                         plan.weights.rules.at(tensor.name).transpose;
      making = std::max(making, copies * static_cast<int64_t>(formats::data_bytes(tensor)));
    }
  }
  return copy + making;
}

}  // namespace ashlar::train
