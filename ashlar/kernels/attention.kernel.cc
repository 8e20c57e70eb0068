// Attention over the keys of the batch, forward. The backward pass is attention_grad.kernel.cc, the
// same over the paged cache paged_attention.kernel.cc.
#include "ashlar/kernels/attention.h"

#include "ashlar/kernels/attention_batch.h"
#include "ashlar/kernels/parallel.h"
#include "ashlar/kernels/table.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

static int64_t thread_bytes(const AttentionArgs& args) {
  Scratch scratch{nullptr};
  take_query_tile(scratch, args.mask, args.head_dim, args.values());
  take_key_buffer(scratch, args.head_dim, args.values());
  return scratch.used;
}

static int64_t attention_scratch(const AttentionArgs& args, int threads) {
  return tile_index_bytes(args.seqs) + threads * thread_bytes(args);
}

static void attention(const AttentionArgs& args, const Team& team) {
  const TileShape shape = tile_shape(args.heads, args.kv_heads, kQueryRows);
  const TileIndex index = index_tiles(
      args.seqs, [&](int64_t s) { return segment_of(args, s).queries; }, shape.positions,
      team.scratch);
  std::byte* thread_scratch = team.scratch + tile_index_bytes(args.seqs);
  const int64_t bytes = thread_bytes(args);
  const int64_t columns = args.kv_heads * shape.parts;
  const int64_t group = args.heads / args.kv_heads;

  const auto run = [&](int64_t task, int thread) {
    Scratch scratch{thread_scratch + thread * bytes};
    QueryTile tile = take_query_tile(scratch, args.mask, args.head_dim, args.values());
    const KeyBuffer buffer = take_key_buffer(scratch, args.head_dim, args.values());
    const TilePlace place = find_tile(index, task / columns);
    const int64_t kv_head = task % columns / shape.parts;
    const int64_t in_group = task % shape.parts * shape.heads;
    const AttentionSegment segment = segment_of(args, place.seq);
    const QueryRows at{
        segment.query_row + place.begin, smaller(shape.positions, segment.queries - place.begin),
        kv_head * group + in_group, smaller(shape.heads, group - in_group), args.heads};
    tile.dropout = tile_dropout(segment_dropout(args.dropout, segment), at);
    load_queries(tile, at, args.q, args.dtype, args.q_stride, segment.query_position + place.begin,
                 {segment.key_begin, segment.key_end});
    start_span(tile, tile.merged);
    if (args.segments != nullptr)
      load_outputs(tile, at, static_cast<const float*>(args.out), args.lse);
    attend(tile, batch_keys(args, buffer, segment, kv_head));
    store_outputs(tile, at, args.out, args.segments != nullptr ? DType::kF32 : args.dtype,
                  args.lse);
  };
  parallel_for(team, index.before[args.seqs] * columns, run);
}

void fill_attention(KernelTable& table) {
  table.attention_scratch = &attention_scratch;
  table.attention = &attention;
  fill_attention_grad(table);
  fill_paged_attention(table);
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
