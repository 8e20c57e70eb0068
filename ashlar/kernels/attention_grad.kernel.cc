// Backward attention over the keys of the batch. d_k and d_v of a key sum over the row tiles of its
// sequence in ascending order, d_q of a row over key blocks in ascending order, whichever way the
// work is shared:
//   together  a task is a sequence and key-value head: every pair of row tile and key block is
//             visited once (5 products), d_q waiting in scratch;
//   apart     where that leaves threads idle, a task is a key block (d_k, d_v), then a row tile
//             (d_q): each computes the scores for itself (7 products), with the same bits.
#include "ashlar/kernels/attention.h"
#include "ashlar/kernels/attention_grad_tile.h"
#include "ashlar/kernels/parallel.h"
#include "ashlar/kernels/table.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

struct GradCall {
  const AttentionGradArgs& args;
  const AttentionArgs& forward;
  TileShape shape;
  int64_t group, width, value_width;
};
static GradCall grad_call(const AttentionGradArgs& args) {
  const AttentionArgs& forward = args.forward;
  return {args,
          forward,
          tile_shape(forward.heads, forward.kv_heads, kGradRows),
          forward.heads / forward.kv_heads,
          round_up(forward.head_dim, kLanes),
          round_up(forward.values(), kLanes)};
}

// What one thread works in.
struct GradWork {
  GradTile tile;
  GradBuffer buffer;
  float* d_q;  // [kGradRows][width], of one tile
};
static GradWork take_work(Scratch& scratch, const AttentionArgs& forward) {
  const int64_t D = forward.head_dim, E = forward.values();
  GradWork work{take_grad_tile(scratch, forward.mask, D, E), take_grad_buffer(scratch, D, E),
                nullptr};
  work.d_q = scratch.take<float>(kGradRows * work.tile.width);
  return work;
}
static int64_t work_bytes(const AttentionArgs& forward) {
  Scratch scratch{nullptr};
  take_work(scratch, forward);
  return scratch.used;
}

// Rows of d_q that wait in scratch: of one key-value head for each thread, or of all.
static int64_t waiting_heads(const AttentionArgs& forward, int threads) {
  return smaller(threads, forward.kv_heads);
}

static int64_t attention_grad_scratch(const AttentionGradArgs& args, int threads) {
  const GradCall call = grad_call(args);
  const AttentionArgs& forward = args.forward;
  Scratch scratch{nullptr};
  scratch.take<int32_t>(forward.seqs + 1);
  scratch.take<int32_t>(forward.seqs + 1);
  scratch.take<std::byte>(threads * work_bytes(forward));
  scratch.take<float>(waiting_heads(forward, threads) * forward.tokens * call.group * call.width);
  return scratch.used;
}

// One sequence or segment and one key-value head.
struct GradSequence {
  const GradCall& call;
  AttentionSegment segment;
  int64_t kv_head;

  KeyRange present() const { return {segment.key_begin, segment.key_end}; }
  int64_t first_block() const { return segment.key_begin / kKeyBlock * kKeyBlock; }
  QueryRows rows_of(int64_t begin, int64_t part) const {
    const int64_t in_group = part * call.shape.heads;
    return {segment.query_row + begin, smaller(call.shape.positions, segment.queries - begin),
            kv_head * call.group + in_group, smaller(call.shape.heads, call.group - in_group),
            call.forward.heads};
  }
  // Whether any of the rows sees a key of the block.
  bool sees(int64_t begin, int64_t positions, int64_t block) const {
    const AttentionMask& mask = call.forward.mask;
    const int64_t first = segment.query_position + begin;
    const int64_t from = visible_keys(mask, first, present()).begin;
    const int64_t to = visible_keys(mask, first + positions - 1, present()).end;
    return from < to && from < block + kKeyBlock && to > block;
  }
  void load_rows(GradTile& tile, const QueryRows& at, int64_t begin) const {
    load_grad_rows(tile, at, call.args, segment_dropout(call.forward.dropout, segment),
                   segment.query_position + begin, present());
  }
  GradKeys load_keys(const GradBuffer& buffer, int64_t block) const {
    return load_grad_keys(batch_keys(call.forward, buffer.keys, segment, kv_head), buffer, block);
  }

  // d_k and d_v of one block; with d_q, [queries][group][width], its terms are added too.
  void visit_block(GradWork& work, int64_t block, float* d_q) const {
    const GradKeys loaded = load_keys(work.buffer, block);
    clear(loaded.d_k, loaded.count * call.width);
    clear(loaded.d_v, loaded.count * call.value_width);
    for (int64_t begin = 0; begin < segment.queries; begin += call.shape.positions) {
      for (int64_t part = 0; part < call.shape.parts; ++part) {
        const QueryRows at = rows_of(begin, part);
        if (!sees(begin, at.positions, block)) continue;
        load_rows(work.tile, at, begin);
        grad_scores(call.forward.mask, work.tile, loaded, block);
        add_key_grads(work.tile, loaded, block);
        if (d_q != nullptr) add_query_grads(work.tile, loaded, block, d_q + d_q_offset(begin, at));
      }
    }
    for (int64_t i = loaded.begin; i < loaded.count; ++i) {
      const int64_t key = block + i - segment.key_begin;
      const int64_t row = (segment.key_row + key) * call.forward.kv_heads + kv_head;
      store_grad(loaded.d_k + i * call.width, call.forward.head_dim, call.args.d_k, row);
      store_grad(loaded.d_v + i * call.value_width, call.forward.values(), call.args.d_v, row);
    }
  }

  // d_q of one tile, all by itself.
  void visit_tile(GradWork& work, int64_t begin, int64_t part) const {
    const QueryRows at = rows_of(begin, part);
    load_rows(work.tile, at, begin);
    clear(work.d_q, work.tile.rows * call.width);
    for (int64_t block = first_block(); block < segment.key_end; block += kKeyBlock) {
      if (!sees(begin, at.positions, block)) continue;
      const GradKeys loaded = load_keys(work.buffer, block);
      grad_scores(call.forward.mask, work.tile, loaded, block);
      add_query_grads(work.tile, loaded, block, work.d_q);
    }
    store_query_grads(work.d_q, at);
  }

  // Where a tile's rows lie in [queries][group][width]: the rows of a tile are contiguous.
  int64_t d_q_offset(int64_t begin, const QueryRows& at) const {
    const int64_t in_group = at.first_head - kv_head * call.group;
    return (begin * call.group + in_group * at.positions) * call.width;
  }
  void store_grad(const float* from, int64_t D, void* to, int64_t row) const {
    if (call.forward.segments != nullptr) {
      add_row(from, D, static_cast<float*>(to) + row * D);
    } else {
      store_row(from, D, 1, to, call.forward.dtype, row * D);
    }
  }
  void store_query_grads(const float* d_q, const QueryRows& at) const {
    for (int64_t r = 0; r < at.positions * at.heads; ++r) {
      store_grad(d_q + r * call.width, call.forward.head_dim, call.args.d_q,
                 (at.first_row + r / at.heads) * at.total_heads + at.first_head + r % at.heads);
    }
  }
};

static void grad_together(const GradCall& call, const Team& team, std::byte* work_memory,
                          float* waiting) {
  const AttentionArgs& forward = call.forward;
  const int64_t bytes = work_bytes(forward);
  const int64_t K = forward.kv_heads;
  const auto run = [&](int64_t task, int thread) {
    Scratch scratch{work_memory + thread * bytes};
    GradWork work = take_work(scratch, forward);
    const AttentionSegment segment = segment_of(forward, task / K);
    const GradSequence sequence{call, segment, task % K};
    const int64_t slot = team.threads < K ? thread : sequence.kv_head;
    float* d_q = waiting + (slot * forward.tokens + segment.query_row) * call.group * call.width;
    clear(d_q, segment.queries * call.group * call.width);
    for (int64_t block = sequence.first_block(); block < segment.key_end; block += kKeyBlock) {
      sequence.visit_block(work, block, d_q);
    }
    for (int64_t begin = 0; begin < segment.queries; begin += call.shape.positions) {
      for (int64_t part = 0; part < call.shape.parts; ++part) {
        const QueryRows at = sequence.rows_of(begin, part);
        sequence.store_query_grads(d_q + sequence.d_q_offset(begin, at), at);
      }
    }
  };
  parallel_for(team, forward.seqs * K, run);
}

static void grad_apart(const GradCall& call, const Team& team, std::byte* work_memory,
                       const TileIndex& blocks, const TileIndex& tiles) {
  const AttentionArgs& forward = call.forward;
  const int64_t bytes = work_bytes(forward);
  const int64_t K = forward.kv_heads, parts = call.shape.parts;
  const int64_t block_tasks = blocks.before[forward.seqs] * K;
  const auto run = [&](int64_t task, int thread) {
    Scratch scratch{work_memory + thread * bytes};
    GradWork work = take_work(scratch, forward);
    const bool is_block = task < block_tasks;
    if (!is_block) task -= block_tasks;
    const int64_t columns = is_block ? K : K * parts;
    const TilePlace place = find_tile(is_block ? blocks : tiles, task / columns);
    const GradSequence sequence{call, segment_of(forward, place.seq),
                                is_block ? task % K : task % columns / parts};
    if (is_block) {
      sequence.visit_block(work, sequence.first_block() + place.begin, nullptr);
    } else {
      sequence.visit_tile(work, place.begin, task % parts);
    }
  };
  parallel_for(team, block_tasks + tiles.before[forward.seqs] * K * parts, run);
}

// Whether sequences times heads keep the threads busy: together costs 5 products to apart's 7, so
// it may leave up to 2/7 of the threads' time unused.
static bool share_by_sequence(const AttentionArgs& forward, int threads) {
  if (threads == 1) return true;
  double most = 0, all = 0;
  for (int64_t s = 0; s < forward.seqs; ++s) {
    const AttentionSegment segment = segment_of(forward, s);
    const int64_t keys = segment.key_end - segment.key_begin;
    const int64_t sides = forward.mask.causal ? 1 : 2;
    const int64_t seen =
        forward.mask.window > 0 ? smaller(sides * forward.mask.window, keys) : keys;
    const double work = static_cast<double>(segment.queries) * static_cast<double>(seen);
    most = most > work ? most : work;
    all += work;
  }
  if (most == 0) return true;
  const auto tasks = static_cast<int64_t>(all / most * static_cast<double>(forward.kv_heads));
  return 5 * ceil_div(tasks, threads) * threads <= 7 * tasks;
}

static void attention_grad(const AttentionGradArgs& args, const Team& team) {
  const GradCall call = grad_call(args);
  const AttentionArgs& forward = args.forward;
  Scratch scratch{team.scratch};
  int32_t* blocks_before = scratch.take<int32_t>(forward.seqs + 1);
  int32_t* tiles_before = scratch.take<int32_t>(forward.seqs + 1);
  std::byte* work_memory = scratch.take<std::byte>(team.threads * work_bytes(forward));
  if (share_by_sequence(forward, team.threads)) {
    grad_together(call, team, work_memory, reinterpret_cast<float*>(team.scratch + scratch.used));
  } else {
    const auto keys = [&](int64_t s) {  // from the first block on
      const AttentionSegment segment = segment_of(forward, s);
      return segment.key_end - segment.key_begin / kKeyBlock * kKeyBlock;
    };
    const auto queries = [&](int64_t s) { return segment_of(forward, s).queries; };
    grad_apart(call, team, work_memory, index_tiles(forward.seqs, keys, kKeyBlock, blocks_before),
               index_tiles(forward.seqs, queries, call.shape.positions, tiles_before));
  }
}

void fill_attention_grad(KernelTable& table) {
  table.attention_grad_scratch = &attention_grad_scratch;
  table.attention_grad = &attention_grad;
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
