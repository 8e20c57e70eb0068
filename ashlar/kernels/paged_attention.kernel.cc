// Attention over the paged key-value cache, and writing to it. Prefill and decode are one path: a
// tile of query rows per key-value head, which streams the cache once for all heads of the group.
// Where there are fewer tiles than threads could use, each span of kKeySpan keys is a task and the
// spans are merged afterwards, in the order in which a single task would have merged them.
#include "ashlar/kernels/attention.h"
#include "ashlar/kernels/attention_tile.h"
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

// Keys read where they lie, as T: for few rows. Rows of values are whole vectors.
template <typename T>
struct CachedKeys {
  static constexpr bool kStream = true;

  PagedHead head;

  KeyTile<T> load(int64_t block, int64_t slab_begin, int64_t slab_end) const {
    KeyTile<T> tile{};
    tile.v_stride = head.args.head_dim;
    for (int64_t slab = slab_begin; slab < slab_end; ++slab) {
      const int64_t key = block + slab * kSlab;
      tile.k[slab] = static_cast<const T*>(head.args.k_pool) + head.element(key);
      tile.v[slab] = static_cast<const T*>(head.args.v_pool) + head.element(key);
      const int64_t next = key + kKeyBlock < head.keys ? key + kKeyBlock : key;
      tile.next_k[slab] = static_cast<const T*>(head.args.k_pool) + head.element(next);
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

// Calls f with the source of keys for a tile of so many rows.
template <typename F>
ASHLAR_INLINE void with_keys(const PagedHead& head, const KeyBuffer& buffer, int64_t rows, F f) {
  const DType dtype = head.args.pool_dtype;
  if (head.args.v_pool == nullptr) {
    f(LatentKeys{head, buffer});
  } else if (rows > 2 * kTileRows || head.args.head_dim % kLanes != 0) {
    f(ConvertedKeys{head, buffer});
  } else if (dtype == DType::kF32) {
    f(CachedKeys<float>{head});
  } else if (dtype == DType::kBF16) {
    f(CachedKeys<bf16>{head});
  } else {
    f(CachedKeys<f16>{head});
  }
}

// Tiles of at most this many rows may be split by span.
static constexpr int64_t kSplitRows = 16;
// A loop has enough tiles when there are this many a thread.
static constexpr int64_t kTilesPerThread = 2;

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
    const int64_t group = args.heads / args.kv_heads;
    const int64_t kv_head = number % columns / shape.parts;
    const int64_t in_group = number % shape.parts * shape.heads;
    const int64_t first = args.row_start[place.seq];
    const int64_t rows = args.row_start[place.seq + 1] - first;
    const int64_t keys = args.context[place.seq];
    const QueryRows at{first + place.begin, smaller(shape.positions, rows - place.begin),
                       kv_head * group + in_group, smaller(shape.heads, group - in_group),
                       args.heads};
    load_queries(tile, at, args.q, args.dtype, args.q_stride, keys - rows + place.begin, {0, keys});
    return {tile, at,
            PagedHead{args, args.block_table + place.seq * args.block_table_stride, kv_head, keys},
            buffer};
  }
  int64_t tiles() const { return index.before[args.seqs] * columns; }
};

static void attend_tiles(const PagedCall& call, const Team& team) {
  const auto run = [&](int64_t number, int thread) {
    const PagedCall::Work work = call.open(number, thread);
    start_span(work.tile, work.tile.merged);
    with_keys(work.head, work.buffer, work.tile.rows,
              [&](const auto& keys) { attend(work.tile, keys); });
    store_outputs(work.tile, work.at, call.args.out, call.args.dtype, nullptr);
  };
  parallel_for(team, call.tiles(), run);
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
    with_keys(work.head, work.buffer, work.tile.rows,
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
    attend_tiles(call, team);
  }
}

template <typename From, typename To>
static void write_rows(const KvWriteArgs& args, const Team& team) {
  constexpr int64_t kTokens = kCacheBlock;  // of a task
  const int64_t D = args.head_dim;
  const auto run = [&](int64_t task, int) {
    const int64_t end = smaller(args.tokens, (task + 1) * kTokens);
    for (int64_t t = task * kTokens; t < end; ++t) {
      const int64_t block = args.slots[t] / kCacheBlock, offset = args.slots[t] % kCacheBlock;
      for (int64_t h = 0; h < args.kv_heads; ++h) {
        const int64_t base = (block * args.kv_heads + h) * D * kCacheBlock;
        const From* k = static_cast<const From*>(args.k) + t * args.k_stride + h * D;
        const From* v = static_cast<const From*>(args.v) + t * args.v_stride + h * D;
        To* k_to = static_cast<To*>(args.k_pool) + base + offset;
        To* v_to = static_cast<To*>(args.v_pool) + base + offset * D;
        for (int64_t d = 0; d < D; d += kLanes) {
          const int64_t count = smaller(kLanes, D - d);
          To lanes[kLanes];
          store(lanes, load(k + d, count));
          for (int64_t i = 0; i < count; ++i) k_to[(d + i) * kCacheBlock] = lanes[i];
          store(v_to + d, load(v + d, count), count);
        }
      }
    }
  };
  parallel_for(team, ceil_div(args.tokens, kTokens), run);
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
