// The keys of `ashlar train`, all with defaults: what to train (model., moe., mask.), on what
// (data.), how (train.), what to look at meanwhile (valid., sample.), what to keep (checkpoint.)
// and where (run.). A ConfigTable fills a TrainConfig; validate() says what ranges alone do not.
#pragma once

#include "ashlar/data/data_config.h"
#include "ashlar/mesh/mesh.h"
#include "ashlar/models/decoder_config.h"
#include "ashlar/passes/recompute.h"
#include "ashlar/passes/shard.h"
#include "ashlar/tensor/dtype.h"

#include <cstdint>
#include <optional>
#include <string>

namespace ashlar {
class ConfigBinder;
}

namespace ashlar::train {

enum class Optimizer : uint8_t { kAdamW, kMuon };
enum class Decay : uint8_t { kAll, kMatrices };
// Whether parameters computed with in 16 bits have f32 masters; how those without are rounded.
enum class Master : uint8_t { kF32, kNone };
enum class Rounding : uint8_t { kNearest, kStochastic };
enum class Schedule : uint8_t { kConstant, kLinear, kCosine, kWsd };
// How tokens are sent to experts: as the model says; to one, by its probability (Switch); to two,
// the second at random (GShard).
enum class Router : uint8_t { kModel, kSwitch, kGShard };

// A model to start from, or the sizes of a new one.
struct ModelSection {
  std::string from;
  std::string family = "llama";
  int64_t vocab = 0, width = 384, layers = 6, heads = 6, kv_heads = 0, ffn = 0, seq = 0;
  int64_t experts = 0, experts_per_token = 0;  // 0: as the family has it
  std::optional<bool> tied;                    // unset: as the family has it

  void bind(ConfigBinder& b);
  bool from_scratch() const { return from.empty(); }
  // The new model; vocab and seq where the keys leave them open.
  models::DecoderConfig decoder(int64_t default_vocab, int64_t default_seq) const;
};

// Training of an encoder: tokens are hidden and learned (data/masking.h).
struct MaskSection {
  double probability = 0.15, replace = 0.8, random = 0.1;

  void bind(ConfigBinder& b);
  bool operator==(const MaskSection&) const = default;
};

// Training of a mixture of experts.
struct MoeSection {
  Router router = Router::kModel;
  std::optional<double> capacity;       // unset: nothing is dropped
  bool padded = false;                  // expert ranks send messages of that size
  std::optional<double> aux_loss_coef;  // unset: the model's own

  void bind(ConfigBinder& b);
  bool is_set() const { return router != Router::kModel || capacity || padded || aux_loss_coef; }
  // Throws UsageError where the model's experts do not go with the keys.
  void apply(models::MixtureConfig& mixture) const;
};

struct TrainSection {
  int64_t steps = 1000;
  int64_t batch = 8;       // rows of the global batch
  int64_t microbatch = 0;  // rows a rank computes at once; 0: the whole batch
  int64_t seq = 256;
  DType dtype = DType::kF32;
  Master master = Master::kF32;
  DType grad_dtype = DType::kF32;  // that gradients are kept and summed in
  Rounding rounding = Rounding::kNearest;
  double loss_scale = 65536;        // at the start, of f16
  int64_t loss_scale_steps = 2000;  // good ones until it doubles; 0: never
  int64_t seed = 1;

  Optimizer optimizer = Optimizer::kAdamW;
  double lr = 3e-4;
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8, weight_decay = 0.1;
  double momentum = 0.95;  // Muon's
  Decay decay = Decay::kMatrices;
  double clip = 1.0;

  Schedule schedule = Schedule::kCosine;
  int64_t warmup = 0;             // steps
  int64_t cooldown = -1;          // steps of wsd's decay; -1: a fifth of all
  double min_lr = 0.1;            // of lr, at the end
  std::optional<double> dropout;  // unset: the model's own

  void bind(ConfigBinder& b);
};

struct ValidSection {
  int64_t every = 100;   // steps; 0: never
  int64_t batches = 20;  // microbatches at most; 0: all
  void bind(ConfigBinder& b);
};

struct SampleSection {
  int64_t every = 0;
  std::string prompt;
  int64_t tokens = 64;
  double temperature = 0.8;
  void bind(ConfigBinder& b);
};

struct CheckpointSection {
  static constexpr int64_t kAuto = -1;  // save_interval.h
  int64_t every = 500;                  // steps; 0: at the end only
  int64_t keep = 3;                     // the newest that stay; 0: all
  bool best = true;                     // also the one of lowest validation loss
  void bind(ConfigBinder& b);
};

struct RunSection {
  std::string dir = "runs/default";
  int threads = 0;     // 0: all cores
  bool pin = false;    // each thread to a core of its own
  int64_t memory = 0;  // bytes that a rank may hold; 0: no limit
  bool resume = false;
  std::string profile;        // a trace file; empty: none
  int64_t profile_steps = 3;  // steps the trace holds
  double peak_flops = 0;      // what MFU is a share of; 0: measured at the start
  bool tensorboard = true;
  void bind(ConfigBinder& b);
};

// Ranks along each axis; their product is the size of the job.
struct MeshSection {
  int64_t data = 1, tensor = 1, pipe = 1, expert = 1, context = 1;
  void bind(ConfigBinder& b);
  MeshSizes sizes() const;
};

// How the axes are used.
struct ParallelSection {
  int64_t zero = 0;            // ZeRO's stage
  int64_t bucket_cap_mb = 25;  // gradients that ranks sum at once (PyTorch's name)
  bool sequence = false;       // tensor ranks share the rows between its splits
  passes::ContextParallel context = passes::ContextParallel::kRing;
  std::string schedule = "1f1b";  // of a pipeline: a generator's name or a file
  int64_t chunks = 0;             // stages a rank holds; 0: as the schedule usually has it
  bool optimistic = false;        // pipeline ranks update before the norm of all is known
  void bind(ConfigBinder& b);
};

struct CommSection {
  double timeout = 600;    // seconds
  int64_t node_ranks = 0;  // that follow one another on a node, for sums in two levels; 0: flat
  void bind(ConfigBinder& b);
};

struct TrainConfig {
  ModelSection model;
  MoeSection moe;
  MaskSection mask;
  data::DataConfig data;
  TrainSection train;
  ValidSection valid;
  SampleSection sample;
  CheckpointSection checkpoint;
  RunSection run;
  MeshSection mesh;
  ParallelSection parallel;
  CommSection comm;
  passes::Recompute recompute = passes::Recompute::kActivations;

  void bind(ConfigBinder& b);
  int64_t data_ranks() const { return mesh.data * mesh.expert; }  // those with rows of their own
  // What ranges alone do not say; throws UsageError with key, value and fix.
  void validate() const;
  void validate_training() const;  // all of it but the data, which a plan does without
  std::string to_toml() const;
};

}  // namespace ashlar::train
