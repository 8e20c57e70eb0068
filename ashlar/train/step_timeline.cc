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

std::vector<Span> measured_spans(const std::vector<runtime::Profiler::Record>& records,
                                 const RankGraphs& graphs, const schedule::InstructionList& list) {
  const bool splits = std::ranges::find(list, Kind::kWeightGrad, &Instruction::kind) != list.end();
  std::vector<Stretch> stretches;
  for (const auto& record : records) {
    const Kind kind = kind_of(record.node->phase);
    if (kind == Kind::kReduce) continue;
    const int chunk = chunk_of(graphs, record.node);
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
  std::vector<Span> spans;
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
    spans.push_back({instruction, stretch.start, stretch.end});
  }
  return spans;
}

std::string gather_timeline(const std::vector<Span>& spans, int64_t step, const Ranks& ranks) {
  Json own = Json::array();
  for (const Span& span : spans) {
    own.push_back({static_cast<int>(span.instruction.kind), span.instruction.microbatch,
                   span.instruction.chunk, span.start, span.end});
  }
  std::vector<std::string> texts = {own.dump()};
  if (ranks.comm() != nullptr) texts = comm::gather_texts(*ranks.comm(), own.dump(), "timeline");
  std::vector<Json> lists;
  std::vector<double> begins;
  for (const std::string& text : texts) {
    lists.push_back(Json::parse(text));
    begins.push_back(lists.back().empty() ? 0 : lists.back()[0][3].get<double>());
  }
  const bool one_clock = ranks.on_this_host() == ranks.count();
  const double first = *std::ranges::min_element(begins);
  for (size_t rank = 0; rank < lists.size(); ++rank) {
    for (Json& span : lists[rank]) {
      for (const size_t time : {3, 4}) {
        span[time] = span[time].get<double>() - (one_clock ? first : begins[rank]);
      }
    }
  }
  return Json{{"step", step}, {"ranks", lists}}.dump();
}

MeasuredStep read_timeline(const std::string& path) {
  MeasuredStep measured;
  try {
    const Json json = Json::parse(read_file(path));
    measured.step = json.at("step");
    for (const Json& list : json.at("ranks")) {
      schedule::RankTimeline& rank = measured.timeline.ranks.emplace_back();
      int held = 0, most = 0, chunks = 1;  // microbatches on chunks, at once
      for (const Json& span : list) {
        const auto kind = static_cast<Kind>(span.at(0).get<int>());
        rank.spans.push_back({{kind, span.at(1), span.at(2)}, span.at(3), span.at(4)});
        const Span& added = rank.spans.back();
        measured.timeline.makespan = std::max(measured.timeline.makespan, added.end);
        if (schedule::is_compute(kind)) rank.busy += added.end - added.start;
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
