#include "ashlar/graph/ops/attention_meeting.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace ashlar::graph {
namespace {

using kernels::AttentionMask;
using kernels::AttentionSegment;

// Part of a document on a rank.
struct Part {
  size_t run;        // of the rank's runs
  int64_t position;  // in the document
  int64_t local, count;
};

std::vector<Part> parts_of(const std::vector<RowRun>& runs, int64_t begin, int64_t end) {
  std::vector<Part> parts;
  for (size_t i = 0; i < runs.size(); ++i) {
    const int64_t from = std::max(begin, runs[i].first);
    const int64_t to = std::min(end, runs[i].first + runs[i].count);
    if (from < to)
      parts.push_back({i, from - begin, runs[i].local + from - runs[i].first, to - from});
  }
  return parts;
}

// How many of the segment's keys the query at a position sees.
int64_t keys_seen(const AttentionMask& mask, const AttentionSegment& segment, int64_t position) {
  const auto clip = [&](int64_t key) {
    return std::clamp(key, segment.key_begin, segment.key_end);
  };
  const bool bounded = mask.causal || mask.window > 0;
  const int64_t begin = mask.window > 0 ? clip(position - mask.window + 1) : segment.key_begin;
  const int64_t end = position + (mask.causal ? 1 : mask.window);
  return (bounded ? clip(end) : segment.key_end) - begin;
}

}  // namespace

AttentionMeeting meet(const ContextCut& cut, int ranks, int query_rank, int key_rank,
                      std::span<const int32_t> row_start, const AttentionMask& mask) {
  const std::vector<RowRun> query_runs = context_runs(cut, ranks, query_rank, row_start.back());
  const std::vector<RowRun> key_runs = context_runs(cut, ranks, key_rank, row_start.back());
  // By the place of the two parts among those of their document.
  std::map<std::pair<size_t, size_t>, std::vector<AttentionSegment>> calls;
  std::set<std::pair<size_t, size_t>> met;
  AttentionMeeting meeting;
  for (size_t s = 0; s + 1 < row_start.size(); ++s) {
    const int64_t begin = row_start[s], end = row_start[s + 1];
    const std::vector<Part> queries = parts_of(query_runs, begin, end);
    const std::vector<Part> keys = parts_of(key_runs, begin, end);
    for (size_t i = 0; i < queries.size(); ++i) {
      for (size_t j = 0; j < keys.size(); ++j) {
        const Part &q = queries[i], &k = keys[j];
        const AttentionSegment segment{q.local,           q.count,    q.position,
                                       k.local,           k.position, k.position + k.count,
                                       begin + q.position};
        int64_t pairs = 0;
        for (int64_t n = 0; n < q.count; ++n) pairs += keys_seen(mask, segment, q.position + n);
        if (pairs == 0) continue;
        meeting.pairs += static_cast<double>(pairs);
        met.emplace(q.run, k.run);
        calls[{i, j}].push_back(segment);
      }
    }
  }
  meeting.block_pairs = static_cast<int64_t>(met.size());
  for (auto& [place, segments] : calls) meeting.calls.push_back(std::move(segments));
  return meeting;
}

}  // namespace ashlar::graph
