// Where attention finds its keys and values: in the batch itself (training, evaluation) or in the
// paged cache (serving). The layers are described once and ask one of these.
#pragma once

#include "ashlar/graph/ops/latent_attention.h"
#include "ashlar/graph/ops/long_positions.h"

namespace ashlar::models {

// What a layer of latent attention attends with: q [T, H*(A+B)] and shared_key [T, B], rotated
// already, latent [T, L], and the matrix that makes keys and values of it.
struct LatentInputs {
  graph::ValueId q, latent, shared_key, weight;
};

class KeySource {
 public:
  virtual ~KeySource() = default;
  // q [T, H*D], k and v [T, K*D], rotated already -> [T, H*D]. Called once in each layer's scope.
  virtual graph::ValueId attend(graph::Builder& b, graph::ValueId q, graph::ValueId k,
                                graph::ValueId v, const graph::AttentionSpec& spec) = 0;
  // The same from latents: [T, H*D]. spec: of the expanded form.
  virtual graph::ValueId attend_latent(graph::Builder& b, const LatentInputs& in,
                                       const graph::LatentSpec& latent,
                                       const graph::AttentionSpec& spec) = 0;
  // Rows of a rotary table that has others for long sequences.
  virtual graph::ValueId rope_rows(graph::Builder& b, graph::ValueId positions,
                                   const graph::LongPositionsSpec& spec) = 0;
};

// The sequence's own rows of the batch.
class BatchKeys : public KeySource {
 public:
  explicit BatchKeys(graph::ValueId row_start) : row_start_(row_start) {}  // i32 [seqs+1]
  graph::ValueId attend(graph::Builder& b, graph::ValueId q, graph::ValueId k, graph::ValueId v,
                        const graph::AttentionSpec& spec) override;
  graph::ValueId attend_latent(graph::Builder& b, const LatentInputs& in,
                               const graph::LatentSpec& latent,
                               const graph::AttentionSpec& spec) override;
  graph::ValueId rope_rows(graph::Builder& b, graph::ValueId positions,
                           const graph::LongPositionsSpec& spec) override;

 private:
  graph::ValueId row_start_;
};

// Blocks of kCacheBlock tokens in Variables of kind kCache, two a layer: "layers.N.kv.k" [blocks,
// kv_heads, head_dim, 16] and "layers.N.kv.v" [blocks, kv_heads, 16, head_dim]; of latent attention
// one, "layers.N.kv.latent" [blocks, 16, L+B].
class PagedKeys : public KeySource {
 public:
  PagedKeys(const graph::PagedBatch& batch, int64_t blocks, DType dtype)
      : batch_(batch), blocks_(blocks), dtype_(dtype) {}
  graph::ValueId attend(graph::Builder& b, graph::ValueId q, graph::ValueId k, graph::ValueId v,
                        const graph::AttentionSpec& spec) override;
  graph::ValueId attend_latent(graph::Builder& b, const LatentInputs& in,
                               const graph::LatentSpec& latent,
                               const graph::AttentionSpec& spec) override;
  graph::ValueId rope_rows(graph::Builder& b, graph::ValueId positions,
                           const graph::LongPositionsSpec& spec) override;

 private:
  graph::VariableId pool(graph::Builder& b, const char* part, Shape shape,
                         std::vector<std::string> dims) const;

  graph::PagedBatch batch_;
  int64_t blocks_;
  DType dtype_;
};

}  // namespace ashlar::models
