#include "ashlar/train/step_timeline.h"

#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/base/json.h"
#include "ashlar/comm/share_text.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <limits>
#include <map>
#include <utility>

namespace ashlar::train {
namespace {

using graph::Phase;
using schedule::Instruction;
using schedule::Interval;
using schedule::Kind;
using schedule::Span;
using Json = nlohmann::ordered_json;

// What an op can be part of, by its phase; sums of gradients run beside and are no part.
Kind kind_of(Phase phase) {
  if (phase == Phase::kForward) return Kind::kForward;
  if (phase == Phase::kInputGrad) return Kind::kInputGrad;
  if (phase == Phase::kWeightGrad) return Kind::kWeightGrad;
  return phase == Phase::kReduce ? Kind::kReduce : Kind::kStep;
}

// Whether an op of a phase goes on with a stretch of ops. BW mixes B and W as they come.
bool goes_on(Kind stretch, Kind op, bool splits) {
  if (stretch == op) return true;
  const auto backward = [](Kind kind) {
    return kind == Kind::kInputGrad || kind == Kind::kWeightGrad;
  };
  return !splits && backward(stretch) && backward(op);
}

constexpr double kShortestWait = 1e-6;  // that is worth a box

struct Stretch {
  Kind kind;
  int chunk;
  ptrdiff_t last_node;  // in the graph's order, which an instruction follows
  double start, end;
};

int chunk_of(const RankGraphs& graphs, const graph::Node* node) {
  for (size_t c = 0; c < graphs.size(); ++c) {
    const auto& nodes = graphs[c]->nodes();
    if (!nodes.empty() && node >= &nodes.front() && node <= &nodes.back()) {
      return static_cast<int>(c);
    }
  }
  return 0;
}

}  // namespace

MeasuredRank measured_rank(const std::vector<runtime::Profiler::Record>& records,
                           const RankGraphs& graphs, const schedule::InstructionList& list) {
  MeasuredRank result;
  std::vector<Span> sums;
  const bool splits = std::ranges::find(list, Kind::kWeightGrad, &Instruction::kind) != list.end();
  std::vector<Stretch> stretches;
  for (const auto& record : records) {
    const Kind kind = kind_of(record.node->phase);
    const int chunk = chunk_of(graphs, record.node);
    if (kind == Kind::kReduce) {
      sums.push_back({{kind, -1, chunk}, record.start, record.end});
      continue;
    }
    if (record.waited > kShortestWait) {
      result.waits.push_back({record.end - record.waited, record.end});
    }
    const ptrdiff_t node = record.node - graphs[static_cast<size_t>(chunk)]->nodes().data();
    Stretch* now = stretches.empty() ? nullptr : &stretches.back();
    // An update goes from chunk to chunk; all of it is one step.
    const bool same = now != nullptr && (kind == Kind::kStep || now->chunk == chunk) &&
                      goes_on(now->kind, kind, splits) &&
                      (kind == Kind::kStep || node > now->last_node);
    if (!same) {
      stretches.push_back({kind, chunk, node, record.start, record.end});
      continue;
    }
    now->last_node = node;
    now->end = record.end;
  }
  std::map<std::pair<Kind, int>, size_t> next;  // place in the list, by kind and chunk
  for (const Stretch& stretch : stretches) {
    Kind kind = stretch.kind;
    if (!splits && kind != Kind::kForward && kind != Kind::kStep) kind = Kind::kBackward;
    Instruction instruction{kind, -1, stretch.chunk};
    size_t& place = next[{kind, stretch.chunk}];
    for (; place < list.size(); ++place) {
      const Instruction& each = list[place];
      if (each.kind != kind || each.chunk != stretch.chunk || kind == Kind::kStep) continue;
      instruction = list[place++];
      break;
    }
    result.spans.push_back({instruction, stretch.start, stretch.end});
  }
  result.spans.insert(result.spans.end(), sums.begin(), sums.end());
  return result;
}

std::string gather_timeline(const MeasuredRank& rank, int64_t step, const Ranks& ranks) {
  Json own = Json::array(), waits = Json::array();
  for (const Interval& wait : rank.waits) waits.push_back({wait.start, wait.end});
  for (const Span& span : rank.spans) {
    own.push_back({static_cast<int>(span.instruction.kind), span.instruction.microbatch,
                   span.instruction.chunk, span.start, span.end});
  }
  const std::string text = Json{{"spans", own}, {"waits", waits}}.dump();
  std::vector<std::string> texts = {text};
  if (ranks.comm() != nullptr) texts = comm::gather_texts(*ranks.comm(), text, "timeline");
  std::vector<Json> lists, all_waits;
  std::vector<double> begins;
  for (const std::string& one : texts) {
    Json json = Json::parse(one);
    lists.push_back(std::move(json["spans"]));
    all_waits.push_back(std::move(json["waits"]));
    begins.push_back(lists.back().empty() ? 0 : lists.back()[0][3].get<double>());
  }
  const bool one_clock = ranks.on_this_host() == ranks.count();
  const double first = *std::ranges::min_element(begins);
  for (size_t i = 0; i < lists.size(); ++i) {
    const double begin = one_clock ? first : begins[i];
    const auto shift = [begin](Json& time) { time = time.get<double>() - begin; };
    for (Json& span : lists[i]) {
      for (const size_t time : {3, 4}) shift(span[time]);
    }
    for (Json& wait : all_waits[i]) {
      for (const size_t time : {0, 1}) shift(wait[time]);
    }
  }
  return Json{{"step", step}, {"ranks", lists}, {"waits", all_waits}}.dump();
}

// What of a span was spent waiting.
static double waited(const Span& span, const std::vector<Interval>& waits) {
  double sum = 0;
  for (const Interval& wait : waits) {
    sum += std::max(0.0, std::min(wait.end, span.end) - std::max(wait.start, span.start));
  }
  return sum;
}

MeasuredStep read_timeline(const std::string& path) {
  MeasuredStep measured;
  try {
    const Json json = Json::parse(read_file(path));
    measured.step = json.at("step");
    for (const Json& list : json.at("ranks")) {
      const size_t index = measured.timeline.ranks.size();
      schedule::RankTimeline& rank = measured.timeline.ranks.emplace_back();
      if (json.contains("waits")) {  // not in those of earlier versions
        for (const Json& wait : json["waits"].at(index)) {
          rank.waits.push_back({wait.at(0), wait.at(1)});
        }
      }
      int held = 0, most = 0, chunks = 1;  // microbatches on chunks, at once
      for (const Json& span : list) {
        const auto kind = static_cast<Kind>(span.at(0).get<int>());
        rank.spans.push_back({{kind, span.at(1), span.at(2)}, span.at(3), span.at(4)});
        const Span& added = rank.spans.back();
        measured.timeline.makespan = std::max(measured.timeline.makespan, added.end);
        if (schedule::is_compute(kind)) {
          rank.busy += added.end - added.start - waited(added, rank.waits);
        }
        chunks = std::max(chunks, added.instruction.chunk + 1);
        held += kind == Kind::kForward ? 1 : 0;
        most = std::max(most, held);
        held -= kind == Kind::kWeightGrad || kind == Kind::kBackward ? 1 : 0;
      }
      rank.peak_microbatches = static_cast<double>(most) / chunks;
    }
  } catch (const nlohmann::json::exception& error) {
    fail("{}: no timeline of a step: {}", path, json_reason(error.what()));
  }
  return measured;
}

}  // namespace ashlar::train
