// Attention over the paged key-value cache, and writing to it. Prefill and decode are one path: a
// tile of query rows per key-value head, which streams the cache once for all heads of the group.
// Where there are fewer tiles than threads could use, each span of kKeySpan keys is a task and the
// spans are merged afterwards, in the order in which a single task would have merged them.
#include "ashlar/kernels/attention.h"
#include "ashlar/kernels/attention_tile.h"
#include "ashlar/kernels/fetch.h"
#include "ashlar/kernels/parallel.h"
#include "ashlar/kernels/table.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

// One sequence and one key-value head of the pool.
struct PagedHead {
  const PagedAttentionArgs& args;
  const int32_t* blocks;  // of the sequence
  int64_t kv_head;
  int64_t keys;

  // First element, in either pool, of the cache block that holds the key.
  int64_t element(int64_t key) const {
    return (blocks[key / kCacheBlock] * args.kv_heads + kv_head) * args.head_dim * kCacheBlock;
  }
};

// Where a tile begins to read.
struct TileKeys {
  PagedHead head;
  int64_t first;  // key, that of a whole block
};

// Keys read where they lie, as T: for few rows. Rows of values are whole vectors. Behind the last
// block comes the first one of the tile that follows.
template <typename T>
struct CachedKeys {
  static constexpr bool kStream = true;

  PagedHead head;
  const TileKeys* following;  // may be null

  // What is read after the keys from `key`, in slab `slab` of their block, on.
  int64_t element_after(int64_t key, int64_t slab) const {
    if (key + kKeyBlock < head.keys) return head.element(key + kKeyBlock);
    if (following == nullptr) return head.element(key);
    const int64_t next = following->first + slab * kSlab;
    return following->head.element(next < following->head.keys ? next : following->first);
  }

  KeyTile<T> load(int64_t block, int64_t slab_begin, int64_t slab_end) const {
    KeyTile<T> tile{};
    tile.v_stride = head.args.head_dim;
    for (int64_t slab = slab_begin; slab < slab_end; ++slab) {
      const int64_t key = block + slab * kSlab;
      tile.k[slab] = static_cast<const T*>(head.args.k_pool) + head.element(key);
      tile.v[slab] = static_cast<const T*>(head.args.v_pool) + head.element(key);
      tile.next_k[slab] = static_cast<const T*>(head.args.k_pool) + element_after(key, slab);
    }
    return tile;
  }
};

// Keys converted to f32 first: for many rows, and for head dims that are no whole vectors.
struct ConvertedKeys {
  static constexpr bool kStream = false;

  PagedHead head;
  KeyBuffer buffer;

  KeyTile<float> load(int64_t block, int64_t slab_begin, int64_t slab_end) const {
    const PagedAttentionArgs& args = head.args;
    const int64_t D = args.head_dim;
    const int64_t width = round_up(D, kLanes);
    KeyTile<float> tile{};
    tile.v_stride = width;
    for (int64_t slab = slab_begin; slab < slab_end; ++slab) {
      const int64_t element = head.element(block + slab * kSlab);
      float* k = buffer.k + slab * kSlab * D;
      float* v = buffer.v + slab * kSlab * width;
      tile.k[slab] = k;
      tile.v[slab] = v;
      if (args.pool_dtype == DType::kF32) {
        tile.k[slab] = static_cast<const float*>(args.k_pool) + element;
      } else {
        load_row(args.k_pool, args.pool_dtype, element, kSlab * D, k);
      }
      if (args.pool_dtype == DType::kF32 && width == D) {
        tile.v[slab] = static_cast<const float*>(args.v_pool) + element;
        continue;
      }
      for (int64_t i = 0; i < kSlab; ++i) {
        load_row(args.v_pool, args.pool_dtype, element + i * D, D, v + i * width);
      }
    }
    return tile;
  }
};

// Rows that are a key and, as far as a value is wide, its value: keys are transposed, values read
// where they lie if they can be.
struct LatentKeys {
  static constexpr bool kStream = false;

  PagedHead head;
  KeyBuffer buffer;

  KeyTile<float> load(int64_t block, int64_t slab_begin, int64_t slab_end) const {
    const PagedAttentionArgs& args = head.args;
    const int64_t D = args.head_dim, E = args.values();
    const int64_t width = round_up(D, kLanes), value_width = round_up(E, kLanes);
    const bool in_place = args.pool_dtype == DType::kF32;
    const bool values_in_place = in_place && value_width == E;
    KeyTile<float> tile{};
    tile.v_stride = values_in_place ? D : value_width;
    for (int64_t slab = slab_begin; slab < slab_end; ++slab) {
      const int64_t element = head.element(block + slab * kSlab);
      const float* rows = in_place ? static_cast<const float*>(args.k_pool) + element : buffer.rows;
      float* k = buffer.k + slab * kSlab * D;
      float* v = buffer.v + slab * kSlab * value_width;
      tile.k[slab] = k;
      tile.v[slab] = values_in_place ? rows : v;
      for (int64_t i = 0; i < kSlab && !in_place; ++i) {
        load_row(args.k_pool, args.pool_dtype, element + i * D, D, buffer.rows + i * width);
      }
      transpose_slab(rows, in_place ? D : width, 0, kSlab, D, k);
      for (int64_t i = 0; i < kSlab && !values_in_place; ++i) {
        load_row(args.k_pool, args.pool_dtype, element + i * D, E, v + i * value_width);
      }
    }
    return tile;
  }
};

// Tiles of at most this many rows read keys where they lie.
static constexpr int64_t kStreamedRows = 2 * kTileRows;

// Calls f with the source of keys for a tile of so many rows.
template <typename F>
ASHLAR_INLINE void with_keys(const PagedHead& head, const TileKeys* following,
                             const KeyBuffer& buffer, int64_t rows, F f) {
  const DType dtype = head.args.pool_dtype;
  if (head.args.v_pool == nullptr) {
    f(LatentKeys{head, buffer});
  } else if (rows > kStreamedRows || head.args.head_dim % kLanes != 0) {
    f(ConvertedKeys{head, buffer});
  } else if (dtype == DType::kF32) {
    f(CachedKeys<float>{head, following});
  } else if (dtype == DType::kBF16) {
    f(CachedKeys<bf16>{head, following});
  } else {
    f(CachedKeys<f16>{head, following});
  }
}

// Tiles of at most this many rows may be split by span.
static constexpr int64_t kSplitRows = 16;
// A loop has enough tiles when there are this many a thread.
static constexpr int64_t kTilesPerThread = 2;
// At least, where tiles are taken several at a time.
static constexpr int64_t kShortTasksPerThread = 4;

static int64_t thread_bytes(const PagedAttentionArgs& args) {
  Scratch scratch{nullptr};
  take_query_tile(scratch, args.mask, args.head_dim, args.values());
  take_key_buffer(scratch, args.head_dim, args.values());
  return scratch.used;
}

static int64_t span_state_bytes(int64_t rows, int64_t value_dim) {
  Scratch scratch{nullptr};
  take_span_state(scratch, rows, round_up(value_dim, kLanes));
  return scratch.used;
}

// Enough for every call with at most this many tokens, sequences and blocks.
static int64_t paged_attention_scratch(const PagedAttentionArgs& args, int threads) {
  const int64_t rows = smaller(kSplitRows, args.tokens * args.heads / args.kv_heads);
  const int64_t spans = ceil_div(args.block_table_stride * kCacheBlock, kKeySpan);
  const int64_t split = threads > 1 ? kTilesPerThread * threads * spans : 0;
  return tile_index_bytes(args.seqs) + threads * thread_bytes(args) +
         split * span_state_bytes(rows, args.values());
}

// One call: the tiles, and what a task needs to work on one.
struct PagedCall {
  const PagedAttentionArgs& args;
  TileShape shape;
  TileIndex index;
  std::byte* thread_scratch;
  int64_t thread_bytes;
  int64_t columns;  // tiles of the same positions: key-value heads x parts of their group

  struct Work {
    QueryTile tile;
    QueryRows at;
    PagedHead head;
    KeyBuffer buffer;
  };
  Work open(int64_t number, int thread) const {
    Scratch scratch{thread_scratch + thread * thread_bytes};
    QueryTile tile = take_query_tile(scratch, args.mask, args.head_dim, args.values());
    const KeyBuffer buffer = take_key_buffer(scratch, args.head_dim, args.values());
    const TilePlace place = find_tile(index, number / columns);
    const PagedHead head = head_of(number, place.seq);
    const int64_t group = args.heads / args.kv_heads;
    const int64_t in_group = number % shape.parts * shape.heads;
    const int64_t rows = args.row_start[place.seq + 1] - args.row_start[place.seq];
    const QueryRows at{
        args.row_start[place.seq] + place.begin, smaller(shape.positions, rows - place.begin),
        head.kv_head * group + in_group, smaller(shape.heads, group - in_group), args.heads};
    load_queries(tile, at, args.q, args.dtype, args.q_stride, position_of(place), {0, head.keys});
    return {tile, at, head, buffer};
  }
  TileKeys keys_of(int64_t number) const {
    const TilePlace place = find_tile(index, number / columns);
    const PagedHead head = head_of(number, place.seq);
    const KeyRange visible = visible_keys(args.mask, position_of(place), {0, head.keys});
    return {head, visible.begin / kKeyBlock * kKeyBlock};
  }
  int64_t tiles() const { return index.before[args.seqs] * columns; }

 private:
  PagedHead head_of(int64_t number, int64_t seq) const {
    return {args, args.block_table + seq * args.block_table_stride, number % columns / shape.parts,
            args.context[seq]};
  }
  // Of a tile's first row.
  int64_t position_of(const TilePlace& place) const {
    const int64_t rows = args.row_start[place.seq + 1] - args.row_start[place.seq];
    return args.context[place.seq] - rows + place.begin;
  }
};

// Short tiles are taken several at a time, so that each can fetch what the next one begins with.
static void attend_tiles(const PagedCall& call, const Team& team, int64_t most_rows) {
  const int64_t tiles = call.tiles();
  const int64_t of_task =
      most_rows > kStreamedRows ? 1 : larger(1, tiles / (kShortTasksPerThread * team.threads));
  const auto run = [&](int64_t task, int thread) {
    const int64_t end = smaller(tiles, (task + 1) * of_task);
    // Most likely this thread's next one.
    const int64_t next_task = (task + team.threads) * of_task;
    for (int64_t number = task * of_task; number < end; ++number) {
      const PagedCall::Work work = call.open(number, thread);
      const int64_t next = number + 1 < end ? number + 1 : smaller(next_task, tiles - 1);
      const TileKeys following = call.keys_of(next);
      start_span(work.tile, work.tile.merged);
      with_keys(work.head, &following, work.buffer, work.tile.rows,
                [&](const auto& keys) { attend(work.tile, keys); });
      store_outputs(work.tile, work.at, call.args.out, call.args.dtype, nullptr);
    }
  };
  parallel_for(team, ceil_div(tiles, of_task), run);
}

// A task for each span of each tile, then a task for each tile that merges its spans.
static void attend_spans(const PagedCall& call, const Team& team, int64_t spans, int64_t rows,
                         std::byte* memory) {
  const int64_t width = round_up(call.args.values(), kLanes);
  const int64_t bytes = span_state_bytes(rows, call.args.values());
  const auto state_of = [&](int64_t task) {
    Scratch scratch{memory + task * bytes};
    return take_span_state(scratch, rows, width);
  };
  const auto run = [&](int64_t task, int thread) {
    PagedCall::Work work = call.open(task / spans, thread);
    work.tile.span = state_of(task);
    const KeyRange keys = keys_of_span(keys_of_tile(work.tile), task % spans);
    if (keys.begin >= keys.end) return;
    with_keys(work.head, nullptr, work.buffer, work.tile.rows,
              [&](const auto& source) { attend_span(work.tile, source, keys); });
  };
  parallel_for(team, call.tiles() * spans, run);
  const auto merge = [&](int64_t number, int thread) {
    const PagedCall::Work work = call.open(number, thread);
    start_span(work.tile, work.tile.merged);
    const KeyRange keys = keys_of_tile(work.tile);
    for (int64_t span = keys.begin / kKeySpan; span * kKeySpan < keys.end; ++span) {
      merge_span(work.tile, state_of(number * spans + span));
    }
    store_outputs(work.tile, work.at, call.args.out, call.args.dtype, nullptr);
  };
  parallel_for(team, call.tiles(), merge);
}

static void paged_attention(const PagedAttentionArgs& args, const Team& team) {
  Scratch scratch{team.scratch};
  const TileShape shape = tile_shape(args.heads, args.kv_heads, kQueryRows);
  int32_t* before = scratch.take<int32_t>(args.seqs + 1);
  const TileIndex index = index_tiles(
      args.seqs, [&](int64_t s) { return args.row_start[s + 1] - args.row_start[s]; },
      shape.positions, before);
  const int64_t bytes = thread_bytes(args);
  std::byte* thread_scratch = scratch.take<std::byte>(team.threads * bytes);
  const PagedCall call{args, shape, index, thread_scratch, bytes, args.kv_heads * shape.parts};

  int64_t longest = 0, most_rows = 0;
  for (int64_t s = 0; s < args.seqs; ++s) {
    const int64_t positions = smaller(shape.positions, args.row_start[s + 1] - args.row_start[s]);
    most_rows = larger(most_rows, positions * shape.heads);
    longest = larger(longest, args.context[s]);
  }
  const int64_t spans = ceil_div(longest, kKeySpan);
  const bool few_tiles = call.tiles() < kTilesPerThread * team.threads;
  if (team.threads > 1 && few_tiles && spans > 1 && most_rows <= kSplitRows) {
    attend_spans(call, team, spans, most_rows, team.scratch + scratch.used);
  } else {
    attend_tiles(call, team, most_rows);
  }
}

// At least, where heads are enough.
static constexpr int64_t kWritesPerThread = 2;

// A task has some heads of a block's worth of tokens, and fetches the lines of the next token.
template <typename From, typename To>
static void write_rows(const KvWriteArgs& args, const Team& team) {
  constexpr int64_t kTokens = kCacheBlock;
  const int64_t D = args.head_dim, chunks = ceil_div(args.tokens, kTokens);
  const int64_t parts = smaller(args.kv_heads, ceil_div(kWritesPerThread * team.threads, chunks));
  // First element, in either pool, of the head's part of the token's block.
  const auto element = [&](int64_t t, int64_t head) {
    return (args.slots[t] / kCacheBlock * args.kv_heads + head) * D * kCacheBlock;
  };
  const auto fetch = [&](int64_t t, int64_t head) {
    const int64_t base = element(t, head), row = base + args.slots[t] % kCacheBlock * D;
    fetch_elements<1>(args.k_pool, args.pool_dtype, base, D * kCacheBlock);
    fetch_elements<1>(args.v_pool, args.pool_dtype, row, D);
  };
  const auto write = [&](int64_t t, int64_t head) {
    const int64_t base = element(t, head), offset = args.slots[t] % kCacheBlock;
    const From* k = static_cast<const From*>(args.k) + t * args.k_stride + head * D;
    const From* v = static_cast<const From*>(args.v) + t * args.v_stride + head * D;
    To* k_to = static_cast<To*>(args.k_pool) + base + offset;
    To* v_to = static_cast<To*>(args.v_pool) + base + offset * D;
    for (int64_t d = 0; d < D; d += kLanes) {
      const int64_t count = smaller(kLanes, D - d);
      To lanes[kLanes];
      store(lanes, load(k + d, count));
      for (int64_t i = 0; i < count; ++i) k_to[(d + i) * kCacheBlock] = lanes[i];
      store(v_to + d, load(v + d, count), count);
    }
  };
  const auto run = [&](int64_t task, int) {
    const int64_t first = task / parts * kTokens, end = smaller(args.tokens, first + kTokens);
    const int64_t part = task % parts, stop = (part + 1) * args.kv_heads / parts;
    for (int64_t head = part * args.kv_heads / parts; head < stop; ++head) {
      for (int64_t t = first; t < end; ++t) {
        const bool last = t + 1 == end;
        const int64_t next = last ? first : t + 1, next_head = last ? head + 1 : head;
        if (next_head < stop && element(next, next_head) != element(t, head)) {
          fetch(next, next_head);
        }
        write(t, head);
      }
    }
  };
  parallel_for(team, chunks * parts, run);
}

template <typename From>
static void write_from(const KvWriteArgs& args, const Team& team) {
  switch (args.pool_dtype) {
    case DType::kF32:
      return write_rows<From, float>(args, team);
    case DType::kBF16:
      return write_rows<From, bf16>(args, team);
    default:
      return write_rows<From, f16>(args, team);
  }
}

static void kv_write(const KvWriteArgs& args, const Team& team) {
  if (args.dtype == DType::kF32) {
    write_from<float>(args, team);
  } else if (args.dtype == DType::kF16) {
    write_from<f16>(args, team);
  } else {
    write_from<bf16>(args, team);
  }
}

void fill_paged_attention(KernelTable& table) {
  table.kv_write = &kv_write;
  table.paged_attention_scratch = &paged_attention_scratch;
  table.paged_attention = &paged_attention;
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
