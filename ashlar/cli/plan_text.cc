#include "ashlar/cli/plan_text.h"

#include "ashlar/base/error.h"
#include "ashlar/base/human.h"
#include "ashlar/mesh/part.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <fnmatch.h>

#include <algorithm>
#include <map>
#include <sstream>
#include <utility>

namespace ashlar::cli {
namespace {

using Json = nlohmann::ordered_json;
using Row = std::vector<std::string>;

std::string bytes(int64_t n) { return human_bytes(static_cast<double>(n)); }

// Columns as wide as they need: the first to the left, the others to the right.
std::string table(const std::vector<Row>& rows) {
  std::vector<size_t> widths(rows.front().size());
  for (const Row& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const Row& row : rows) {
    std::string line = "  ";
    for (size_t i = 0; i < row.size(); ++i) {
      line += i == 0 ? fmt::format("{:<{}}", row[i], widths[i])
                     : fmt::format("  {:>{}}", row[i], widths[i]);
    }
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

// "0-3", "0,2": ranks whose rows read the same are one row.
std::string list_of(const std::vector<int>& ranks) {
  const bool run = ranks.back() - ranks.front() + 1 == static_cast<int>(ranks.size());
  if (ranks.size() > 2 && run) return fmt::format("{}-{}", ranks.front(), ranks.back());
  return fmt::format("{}", fmt::join(ranks, ","));
}

// cells(rank): what the rank's row has behind its number.
template <typename Cells>
void add_ranks(std::vector<Row>& rows, const train::RunPlan& plan, const Cells& cells) {
  std::vector<std::pair<Row, std::vector<int>>> alike;
  for (int rank = 0; rank < static_cast<int>(plan.ranks.size()); ++rank) {
    Row row = cells(plan.ranks[static_cast<size_t>(rank)]);
    auto same = std::ranges::find(alike, row, &std::pair<Row, std::vector<int>>::first);
    if (same == alike.end()) same = alike.insert(alike.end(), {std::move(row), {}});
    same->second.push_back(rank);
  }
  for (auto& [row, ranks] : alike) {
    row.insert(row.begin(), list_of(ranks));
    rows.push_back(row);
  }
}

// In the order in which the first rank that has one names it.
std::vector<std::string> memory_parts(const train::RunPlan& plan) {
  std::vector<std::string> parts;
  for (const train::RankPlan& rank : plan.ranks) {
    for (const auto& [part, size] : rank.memory.parts()) {
      if (std::ranges::find(parts, part) == parts.end()) parts.push_back(part);
    }
  }
  return parts;
}

std::vector<std::string> axes(const train::RunPlan& plan) {
  std::map<std::string, bool> names;
  for (const train::RankPlan& rank : plan.ranks) {
    for (const auto& [axis, sent] : rank.step.sent) names[axis] = true;
  }
  std::vector<std::string> result;
  for (const auto& [axis, there] : names) result.push_back(axis);
  return result;
}

std::string memory_table(const train::RunPlan& plan) {
  const auto parts = memory_parts(plan);
  std::vector<Row> rows = {{"rank"}};
  rows[0].insert(rows[0].end(), parts.begin(), parts.end());
  rows[0].push_back("total");
  add_ranks(rows, plan, [&](const train::RankPlan& rank) {
    Row row;
    for (const std::string& part : parts) row.push_back(bytes(rank.memory.bytes(part)));
    row.push_back(bytes(rank.memory.total()));
    return row;
  });
  return "memory of a rank\n" + table(rows);
}

std::string step_table(const train::RunPlan& plan) {
  const auto along = axes(plan);
  std::vector<Row> rows = {{"rank", "FLOPs"}};
  for (const std::string& axis : along) rows[0].push_back("sent: " + axis);
  rows[0].insert(rows[0].end(), {"computing", "communicating", "hidden"});
  add_ranks(rows, plan, [&](const train::RankPlan& rank) {
    Row row = {human_count(rank.step.flops)};
    for (const std::string& axis : along) {
      const auto sent = rank.step.sent.find(axis);
      row.push_back(sent == rank.step.sent.end() ? "0 B" : bytes(sent->second.bytes));
    }
    row.push_back(fmt::format("{:.3g} ms", 1e3 * rank.step.compute));
    row.push_back(fmt::format("{:.3g} ms", 1e3 * rank.step.talk.seconds()));
    row.push_back(fmt::format("{:.3g} ms", 1e3 * rank.step.hidden));
    return row;
  });
  return "a step of a rank\n" + table(rows);
}

int64_t most_gathered_once(const train::RunPlan& plan) {
  int64_t most = 0;
  for (const train::RankPlan& rank : plan.ranks) most = std::max(most, rank.gathered_once);
  return most;
}

Json sent_json(const plan::SentByAxis& sent) {
  Json json = Json::object();
  for (const auto& [axis, one] : sent) {
    json[axis] = {{"bytes", one.bytes}, {"messages", one.messages}};
  }
  return json;
}

std::string held(const std::vector<Part>& pieces, const Shape& whole) {
  if (pieces.empty()) return "nothing";
  if (pieces.size() == 1 && pieces[0] == whole_part(whole.dims())) return "all";
  std::string text;
  for (const Part& piece : pieces) text += (text.empty() ? "" : " ") + str(piece);
  return text;
}

// Where the predicted time comes from.
std::string timing_text(const train::RunPlan& plan, const plan::MachineRates& rates) {
  const plan::PhaseCost& step = plan.ranks[0].step;
  std::string text = fmt::format("  from {} distinct ops, timed here: {} FLOP/s a rank",
                                 plan.timed_ops, human_count(step.flops / step.compute));
  if (plan.mesh.size() > 1) {
    text += fmt::format("; {}/s and {:.3g} ms a message\n  between ranks",
                        human_bytes(rates.message_bytes), 1e3 * rates.message_latency);
  }
  if (plan.processors < 1) {
    text += fmt::format("; ranks share cores, {:.2g} of what each could use", plan.processors);
  }
  return text;
}

}  // namespace

std::string plan_text(const train::RunPlan& plan, const plan::MachineRates& rates) {
  std::string text = fmt::format(
      "{} of {} parameters on {}, {} thread{} each\n{} tokens a step, {} microbatch{} a rank\n\n",
      plan.model.family, human_count(static_cast<double>(plan.parameters)), plan.mesh.str(),
      plan.threads, plan.threads == 1 ? "" : "s", plan.tokens, plan.microbatches,
      plan.microbatches == 1 ? "" : "es");
  text += memory_table(plan) + "\n" + step_table(plan);
  if (const int64_t once = most_gathered_once(plan); once > 0) {
    text += fmt::format(
        "  ZeRO-3 gathers parameters in forward and again in backward, but for what only forward\n"
        "  reads: {} a microbatch are not sent a second time\n",
        bytes(once));
  }
  text += "\n";
  if (plan.mesh.size("pipe") > 1) {
    text += fmt::format("schedule {}: {:.1f}% bubble\n", plan.schedule.name, 100 * plan.bubble);
  }
  text += fmt::format("predicted: {:.4g} ms a step, {} tokens/s on {}\n", 1e3 * plan.step_seconds(),
                      human_count(static_cast<double>(plan.tokens) / plan.step_seconds()),
                      plan.machines == 1 ? "this machine, all ranks on it"
                                         : fmt::format("{} machines like this one", plan.machines));
  if (plan.machines > 1) {
    text += fmt::format("  sums over ranks in two levels; in one: {:.4g} ms a step\n",
                        1e3 * plan.one_level_seconds);
  }
  return text + timing_text(plan, rates);
}

std::string plan_json(const train::RunPlan& plan, const plan::MachineRates& rates) {
  Json ranks = Json::array();
  for (const train::RankPlan& rank : plan.ranks) {
    Json memory = Json::object();
    for (const auto& [part, size] : rank.memory.parts()) memory[part] = size;
    ranks.push_back({{"memory", memory},
                     {"planned_bytes", rank.memory.total()},
                     {"flops", rank.step.flops},
                     {"sent", sent_json(rank.step.sent)},
                     {"gathered_once_bytes", rank.gathered_once},
                     {"compute_s", rank.step.compute},
                     {"communicate_s", rank.step.talk.seconds()},
                     {"hidden_s", rank.step.hidden}});
  }
  return Json{{"family", plan.model.family},
              {"parameters", plan.parameters},
              {"mesh", plan.mesh.str()},
              {"threads", plan.threads},
              {"tokens", plan.tokens},
              {"microbatches", plan.microbatches},
              {"ranks", ranks},
              {"schedule", plan.schedule.name},
              {"bubble", plan.bubble},
              {"processors", plan.processors},
              {"machines", plan.machines},
              {"one_level_step_s", plan.machines > 1 ? Json(plan.one_level_seconds) : Json()},
              {"timed_ops", plan.timed_ops},
              {"step_s", plan.step_seconds()},
              {"tokens_per_s", static_cast<double>(plan.tokens) / plan.step_seconds()},
              {"rates",
               {{"matrix_flops", rates.matrix_flops},
                {"attention_flops", rates.attention_flops},
                {"memory_bytes", rates.memory_bytes},
                {"message_bytes", rates.message_bytes},
                {"message_latency_s", rates.message_latency}}}}
      .dump();
}

std::vector<train::PlannedValue> matching(const std::vector<train::PlannedValue>& values,
                                          const std::string& patterns) {
  std::vector<train::PlannedValue> chosen;
  std::istringstream all(patterns);
  for (std::string one; std::getline(all, one, ',');) {
    for (const train::PlannedValue& value : values) {
      if (::fnmatch(one.c_str(), value.name.c_str(), 0) == 0) chosen.push_back(value);
    }
  }
  if (!chosen.empty()) return chosen;
  std::vector<std::string> names;
  for (size_t i = 0; i < std::min<size_t>(values.size(), 4); ++i) names.push_back(values[i].name);
  fail_usage("plan --placements: no value's name is like '{}'; some are {}", patterns,
             fmt::join(names, ", "));
}

std::string placements_text(const train::RunPlan& plan,
                            const std::vector<train::PlannedValue>& values) {
  std::vector<Row> variables = {{"variable", "whole", "placement"}};
  std::vector<Row> activations = {{"activation", "op", "whole", "placement"}};
  for (int rank = 0; rank < plan.mesh.size(); ++rank) {
    for (auto* rows : {&variables, &activations}) {
      rows->front().push_back(fmt::format("rank {}", rank));
    }
  }
  for (const train::PlannedValue& value : values) {
    Row row = {value.name, std::string(name(value.dtype)) + value.whole.str(), value.placement};
    if (!value.op.empty()) row.insert(row.begin() + 1, value.op);
    for (const auto& pieces : value.parts) {
      row.push_back((value.term && !pieces.empty() ? "a term of " : "") +
                    held(pieces, value.whole));
    }
    (value.op.empty() ? variables : activations).push_back(std::move(row));
  }
  std::string text = plan.mesh.str() + "\n";
  if (variables.size() > 1) text += table(variables);
  if (activations.size() > 1) text += table(activations);
  text.pop_back();
  return text;
}

std::string placements_json(const train::RunPlan& plan,
                            const std::vector<train::PlannedValue>& values) {
  Json variables = Json::array(), activations = Json::array();
  for (const train::PlannedValue& value : values) {
    Json parts = Json::array();
    for (const auto& pieces : value.parts) {
      Json held = Json::array();
      for (const Part& piece : pieces) {
        Json slices = Json::array();
        for (const Slice& slice : piece) slices.push_back({slice.offset, slice.length});
        held.push_back(slices);
      }
      parts.push_back(held);
    }
    const auto dims = value.whole.dims();
    Json one = {{"name", value.name},
                {"dtype", name(value.dtype)},
                {"shape", std::vector(dims.begin(), dims.end())},
                {"placement", value.placement},
                {"parts", parts}};
    if (!value.op.empty()) one["op"] = value.op;
    if (value.term) one["term"] = true;
    (value.op.empty() ? variables : activations).push_back(std::move(one));
  }
  return Json{{"mesh", plan.mesh.str()}, {"variables", variables}, {"activations", activations}}
      .dump();
}

}  // namespace ashlar::cli
