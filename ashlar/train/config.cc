#include "ashlar/train/config.h"

#include "ashlar/base/config.h"
#include "ashlar/base/error.h"
#include "ashlar/data/batch_maker.h"
#include "ashlar/models/family.h"
#include "ashlar/train/pipeline_schedule.h"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace ashlar::train {
namespace {

// SwiGLU's three matrices cost as much as a plain MLP's two at 4 x width, with 8/3 x width rows,
// rounded up to whole vectors (Shazeer 2020).
int64_t default_ffn(const std::string& family, int64_t width) {
  return family == "gpt2" ? 4 * width : (8 * width / 3 + 31) / 32 * 32;
}

// The keys of a mixture of experts in config.json.
void add_experts(const ModelSection& model, nlohmann::ordered_json& json) {
  if (model.family != "mixtral") {
    if (model.experts > 0 || model.experts_per_token > 0) {
      fail_usage("config model.experts: {} has none; use model.family=mixtral", model.family);
    }
    return;
  }
  const models::MixtureConfig usual = models::find_family(model.family).blank().mixture;
  const int64_t all = model.experts > 0 ? model.experts : usual.experts;
  const int64_t chosen = model.experts_per_token > 0 ? model.experts_per_token : usual.per_token;
  if (chosen > all) {
    fail_usage("config model.experts_per_token: {} is more than model.experts={}", chosen, all);
  }
  json.update({{"num_local_experts", all},
               {"num_experts_per_tok", chosen},
               {"output_router_logits", usual.balance},
               {"router_aux_loss_coef", usual.coefficient}});
}

}  // namespace

void ModelSection::bind(ConfigBinder& b) {
  b.key("from", from,
        "model folder to start from, with its own sizes; empty: a new model of those below");
  const auto is_new = [this] { return from_scratch(); };
  b.choice<std::string>("family", family,
                        {{"llama", "llama"}, {"gpt2", "gpt2"}, {"mixtral", "mixtral"}},
                        "architecture of a new model")
      .counts_if(is_new);
  b.key("vocab", vocab, "rows of the embedding; 0: as many as the tokenizer has")
      .at_least(0)
      .counts_if(is_new);
  b.key("width", width, "channels of the residual stream").positive().counts_if(is_new);
  b.key("layers", layers, "transformer layers").positive().counts_if(is_new);
  b.key("heads", heads, "query heads").positive().counts_if(is_new);
  b.key("kv_heads", kv_heads, "key-value heads; 0: as many as heads").at_least(0).counts_if(is_new);
  b.key("ffn", ffn, "inner channels of the MLP; 0: 4 x width (gpt2), 8/3 x width (others)")
      .at_least(0)
      .counts_if(is_new);
  b.key("experts", experts, "experts of each layer; 0: as the family has it (mixtral: 8)")
      .at_least(0)
      .counts_if(is_new);
  b.key("experts_per_token", experts_per_token, "those a token goes to; 0: 2")
      .at_least(0)
      .counts_if(is_new);
  b.key("seq", seq, "longest context; 0: train.seq").at_least(0).counts_if(is_new);
  b.key("tied", tied, "head shares the embedding's weights; unset: as the family has it")
      .counts_if(is_new);
}

models::DecoderConfig ModelSection::decoder(int64_t default_vocab, int64_t default_seq) const {
  const int64_t rows = vocab > 0 ? vocab : default_vocab;
  if (rows < default_vocab) {
    fail_usage("config model.vocab: {} is less than the tokenizer's {} tokens", rows,
               default_vocab);
  }
  const int64_t inner = ffn > 0 ? ffn : default_ffn(family, width);
  const int64_t positions = seq > 0 ? seq : default_seq;
  const int64_t keys = kv_heads > 0 ? kv_heads : heads;
  if (width % heads != 0) {
    fail_usage("config model.heads: {} heads do not divide model.width={}", heads, width);
  }
  if (heads % keys != 0) {
    fail_usage("config model.kv_heads: {} does not divide model.heads={}", keys, heads);
  }
  nlohmann::ordered_json json = {{"model_type", family}, {"vocab_size", rows}};
  if (family == "gpt2") {
    if (keys != heads) {
      fail_usage("config model.kv_heads: {}, but gpt2 has as many as heads ({})", keys, heads);
    }
    json.update({{"n_embd", width},
                 {"n_layer", layers},
                 {"n_head", heads},
                 {"n_inner", inner},
                 {"n_positions", positions},
                 {"embd_pdrop", 0.0},
                 {"resid_pdrop", 0.0},
                 {"attn_pdrop", 0.0}});
  } else {
    json.update({{"hidden_size", width},
                 {"num_hidden_layers", layers},
                 {"num_attention_heads", heads},
                 {"num_key_value_heads", keys},
                 {"intermediate_size", inner},
                 {"max_position_embeddings", positions},
                 {"rms_norm_eps", 1e-5}});
  }
  add_experts(*this, json);
  if (tied) json["tie_word_embeddings"] = *tied;
  return models::parse_config(json.dump(), "config model");
}

void MaskSection::bind(ConfigBinder& b) {
  b.key("probability", probability, "encoders: share of the tokens that are hidden and learned")
      .between(0, 1);
  b.key("replace", replace, "share of those that become the mask token").between(0, 1);
  b.key("random", random, "share of those that become a random token; the rest stay as they are")
      .between(0, 1);
}

void MoeSection::bind(ConfigBinder& b) {
  b.choice<Router>(
      "router", router,
      {{"model", Router::kModel}, {"switch", Router::kSwitch}, {"gshard", Router::kGShard}},
      "switch: one expert a token, by its probability; gshard: two, the second at "
      "random");
  b.key("capacity", capacity,
        "an expert takes at most this many times its fair share, the rest is dropped; unset: all")
      .positive();
  b.key("padded", padded,
        "mesh.expert ranks exchange rows in messages of one size, that of the capacity");
  b.key("aux_loss_coef", aux_loss_coef, "weight of the load-balancing loss; unset: the model's own")
      .at_least(0);
}

void MoeSection::apply(models::MixtureConfig& mixture) const {
  if (!is_set()) return;
  if (mixture.experts == 0) {
    fail_usage("config moe: the model has no experts; remove the keys under moe.");
  }
  const auto want_choices = [&](const char* name, int64_t wanted) {
    if (mixture.per_token == wanted) return;
    fail_usage("config moe.router: {} sends a token to {} of the experts, the model to {}", name,
               wanted, mixture.per_token);
  };
  if (router == Router::kSwitch) {
    want_choices("switch", 1);
    mixture.renormalise = false;
  }
  if (router == Router::kGShard) {
    want_choices("gshard", 2);
    mixture.random_second = true;
  }
  if (capacity) mixture.capacity = *capacity;
  if (padded && !capacity) {
    fail_usage("config moe.padded: messages are padded to a capacity; set moe.capacity");
  }
  mixture.padded = padded;
  if (aux_loss_coef) {
    mixture.balance = *aux_loss_coef > 0;
    mixture.coefficient = *aux_loss_coef;
  }
}

void TrainSection::bind(ConfigBinder& b) {
  b.key("steps", steps, "optimizer steps").positive();
  b.key("batch", batch, "sequences of the global batch").positive();
  b.key("microbatch", microbatch, "sequences computed at once on a rank; 0: the whole batch")
      .at_least(0);
  b.key("seq", seq, "tokens of a sequence").positive();
  b.choice<DType>("dtype", dtype,
                  {{"f32", DType::kF32}, {"bf16", DType::kBF16}, {"f16", DType::kF16}},
                  "what is computed in; f16 with a scaled loss");
  b.choice<Master>("master", master, {{"f32", Master::kF32}, {"none", Master::kNone}},
                   "what is updated: f32 parameters, or those of train.dtype=bf16 themselves");
  b.choice<DType>("grad_dtype", grad_dtype, {{"f32", DType::kF32}, {"bf16", DType::kBF16}},
                  "what gradients of matrices are kept and summed in; bf16 with train.dtype=bf16");
  b.choice<Rounding>("rounding", rounding,
                     {{"nearest", Rounding::kNearest}, {"stochastic", Rounding::kStochastic}},
                     "of parameters that have no master");
  b.key("loss_scale", loss_scale,
        "f16: what the loss is multiplied by at first; halves when "
        "gradients overflow")
      .at_least(1);
  b.key("loss_scale_steps", loss_scale_steps, "f16: good steps until it doubles; 0: never")
      .at_least(0);
  b.key("seed", seed, "of weights, order of data, dropout").at_least(0);
  b.choice<Optimizer>("optimizer", optimizer,
                      {{"adamw", Optimizer::kAdamW}, {"muon", Optimizer::kMuon}},
                      "muon: for the matrices of linear layers, adamw for the rest");
  b.key("lr", lr, "peak learning rate").positive();
  b.key("beta1", beta1, "AdamW: decay of the mean of gradients").between(0, 1);
  b.key("beta2", beta2, "AdamW: decay of the mean of their squares").between(0, 1);
  b.key("eps", eps, "AdamW: added to the root").positive();
  b.key("weight_decay", weight_decay, "decoupled weight decay").at_least(0);
  b.key("momentum", momentum, "Muon's").between(0, 1);
  b.choice<Decay>("decay", decay, {{"all", Decay::kAll}, {"matrices", Decay::kMatrices}},
                  "which parameters decay");
  b.key("clip", clip, "largest gradient norm; 0: no clipping").at_least(0);
  b.choice<Schedule>("schedule", schedule,
                     {{"constant", Schedule::kConstant},
                      {"linear", Schedule::kLinear},
                      {"cosine", Schedule::kCosine},
                      {"wsd", Schedule::kWsd}},
                     "learning rate after the warm-up");
  b.key("warmup", warmup, "steps of linear warm-up").at_least(0);
  b.key("cooldown", cooldown, "steps of wsd's decay at the end; -1: a fifth of all").at_least(-1);
  b.key("min_lr", min_lr, "learning rate at the end, as a share of train.lr").between(0, 1);
  b.key("dropout", dropout,
        "share dropped of embedding, attention weights and layers' outputs; unset: the model's own")
      .between(0, 0.9);
}

void ValidSection::bind(ConfigBinder& b) {
  b.key("every", every, "steps between validations; 0: never").at_least(0);
  b.key("batches", batches, "microbatches of a validation at most, spread over the data; 0: all")
      .at_least(0);
}

void SampleSection::bind(ConfigBinder& b) {
  b.key("every", every, "steps between samples of text; 0: never").at_least(0);
  b.key("prompt", prompt, "what samples go on from");
  b.key("tokens", tokens, "length of a sample").positive();
  b.key("temperature", temperature, "of samples; 0: the likeliest token").at_least(0);
}

void CheckpointSection::bind(ConfigBinder& b) {
  b.key_or(
       "every", every, "auto", kAuto,
       "steps between checkpoints; 0: at the end only; auto: as often as costs 3.5% of the time")
      .at_least(0);
  b.key("keep", keep, "newest checkpoints that stay; 0: all").at_least(0);
  b.key("best", best, "the one of lowest validation loss stays too");
}

void RunSection::bind(ConfigBinder& b) {
  b.key("dir", dir, "run folder").required();
  b.key("threads", threads, "0: one a core").at_least(0);
  b.key("pin", pin, "bind each thread to a core of its own");
  b.key("memory", memory,
        "bytes a rank may hold, as in 48G: a run that would take more is refused; 0: any")
      .at_least(0);
  b.key("resume", resume, "go on from the newest whole checkpoint of run.dir");
  b.key("profile", profile, "file for a trace that Perfetto opens; empty: none");
  b.key("profile_steps", profile_steps, "steps the trace holds").positive();
  b.key("peak_flops", peak_flops, "peak that MFU is a share of; 0: measured at the start")
      .at_least(0);
  b.key("tensorboard", tensorboard, "write TensorBoard files");
}

void MeshSection::bind(ConfigBinder& b) {
  b.key("data", data, "ranks that share the batch").positive();
  b.key("tensor", tensor, "ranks that share each layer's matrices and heads").positive();
  b.key("pipe", pipe, "ranks that share the layers").positive();
  b.key("expert", expert, "ranks that share the experts, and the batch").positive();
  b.key("context", context, "ranks that share each sequence").positive();
}

MeshSizes MeshSection::sizes() const {
  const auto size = [](int64_t n) { return static_cast<int>(n); };
  return {.data = size(data),
          .tensor = size(tensor),
          .pipe = size(pipe),
          .expert = size(expert),
          .context = size(context)};
}

void ParallelSection::bind(ConfigBinder& b) {
  b.key("zero", zero,
        "what data ranks share out (ZeRO): 0 nothing, 1 moments, 2 and gradients, 3 and parameters")
      .between(0, 3);
  b.key("bucket_cap_mb", bucket_cap_mb,
        "MiB of gradients that ranks sum at once, while backward makes the next ones")
      .positive();
  b.key("sequence", sequence, "tensor ranks share the tokens where they do not share a layer");
  b.choice<passes::ContextParallel>("context", context,
                                    {{"ring", passes::ContextParallel::kRing},
                                     {"zigzag", passes::ContextParallel::kZigzag},
                                     {"ulysses", passes::ContextParallel::kUlysses}},
                                    "how context ranks attend to each other's tokens");
  b.key("schedule", schedule,
        "order of a pipeline's microbatches: gpipe, 1f1b, interleaved, zb-h1, zb-h2, zb-v, v-half, "
        "v-min, chimera, hanayo, or a file that lists it");
  b.key("chunks", chunks,
        "stages of a pipeline that a rank holds, of interleaved and hanayo; 0: two")
      .at_least(0);
  b.key("optimistic", optimistic,
        "pipeline ranks update before they know the gradient norm of all, and take it back if it "
        "clips otherwise");
}

void CommSection::bind(ConfigBinder& b) {
  b.key("timeout", timeout, "seconds without progress after which a waiting rank gives the job up")
      .positive();
  b.key("node_ranks", node_ranks,
        "ranks of a node, which follow one another: sums over several nodes go in two levels; 0: "
        "in one")
      .at_least(0);
}

void TrainConfig::bind(ConfigBinder& b) {
  b.choice<passes::Recompute>("recompute", recompute,
                              {{"none", passes::Recompute::kNone},
                               {"full", passes::Recompute::kFull},
                               {"selective", passes::Recompute::kSelective},
                               {"activations", passes::Recompute::kActivations},
                               {"sqrt", passes::Recompute::kSqrt}},
                              "which activations backward computes again instead of keeping them");
  b.section("model", model);
  b.section("moe", moe);
  b.section("mask", mask);
  b.section("data", data);
  b.section("train", train);
  b.section("valid", valid);
  b.section("sample", sample);
  b.section("checkpoint", checkpoint);
  b.section("run", run);
  b.section("mesh", mesh);
  b.section("parallel", parallel);
  b.section("comm", comm);
}

void TrainConfig::validate() const {
  data.validate();
  validate_training();
}

void TrainConfig::validate_training() const {
  if (mask.probability == 0) fail_usage("config mask.probability: 0 leaves nothing to learn");
  if (mask.replace + mask.random > 1) {
    fail_usage("config mask.random: {} and mask.replace={} are more than 1 together", mask.random,
               mask.replace);
  }
  if (train.warmup > train.steps) {
    fail_usage("config train.warmup: {} is more than train.steps={}", train.warmup, train.steps);
  }
  if (train.master == Master::kNone && train.dtype != DType::kBF16) {
    fail_usage(
        "config train.master: none, but train.dtype={}; only bf16 parameters do without "
        "masters: set train.dtype=bf16 or train.master=f32",
        name(train.dtype));
  }
  if (train.master == Master::kNone && train.optimizer != Optimizer::kAdamW) {
    fail_usage(
        "config train.master: none, but train.optimizer=muon updates f32 parameters: set "
        "train.optimizer=adamw or train.master=f32");
  }
  if (train.grad_dtype == DType::kBF16 && train.dtype != DType::kBF16) {
    fail_usage(
        "config train.grad_dtype: bf16, but train.dtype={}; gradients are rounded as far as what "
        "they are gradients of: set train.dtype=bf16 or train.grad_dtype=f32",
        name(train.dtype));
  }
  if (train.rounding == Rounding::kStochastic && train.master != Master::kNone) {
    fail_usage(
        "config train.rounding: stochastic, but train.master=f32 is not rounded: set "
        "train.master=none or train.rounding=nearest");
  }
  const int64_t rows = std::max<int64_t>(1, train.batch / data_ranks());
  const data::BatchShape shape{.batch = train.batch,
                               .microbatch = train.microbatch > 0 ? train.microbatch : rows,
                               .ranks = data_ranks(),
                               .seq = train.seq};
  shape.validate();
  const int ranks = Mesh::standard(mesh.sizes()).size();
  if (comm.node_ranks > 0 && ranks % comm.node_ranks != 0) {
    fail_usage(
        "config comm.node_ranks: {} does not divide the mesh's {} ranks; nodes have as many each, "
        "or leave it out",
        comm.node_ranks, ranks);
  }
  if (mesh.pipe == 1) return;
  pipeline_schedule(*this);
}

std::string TrainConfig::to_toml() const {
  TrainConfig copy = *this;  // a table binds to fields it may write
  return ConfigTable(copy).to_toml();
}

}  // namespace ashlar::train
