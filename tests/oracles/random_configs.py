"""Draws configurations of every family at random, unusual ones too, and compares what Ashlar computes
with transformers: logits of two texts, loss and gradients (`ashlar verify`). Each draw agrees, or is
refused in one line.

    ./dev oracles random_configs [FAMILY...] [--draws N] [--seed N] [--keep FOLDER]

--keep leaves the models that differ, and prints each refusal.
"""
import argparse
import collections
import json
import logging
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile

import torch
import transformers
from safetensors import safe_open
from safetensors.torch import save_file

import torch_families
from family_folders import tensors_of

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
ASHLAR = os.environ.get("ASHLAR_BINARY", str(ROOT / "build" / "release" / "ashlar"))
VOCAB, LAYERS, POSITIONS, TOLERANCE = torch_families.VOCAB, [2, 3, 4], 64, 1e-4
ABSENT = object()
SILU = ["silu", "gelu", "gelu_new", "relu", "gelu_pytorch_tanh", "swish", "quick_gelu", "relu2", "tanh"]
FLAG = [True, False]


class Draw:
    """One configuration: keys set by chance."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.keys = {}

    def __call__(self, key, choices, often=0.5):
        """The key gets one of the choices, or (1 - often) is left out. Returns what it got."""
        if self.random.random() < often:
            value = self.random.choice(choices)
            self.keys[key] = value
            return value
        return ABSENT

    def must(self, key, choices):
        return self(key, choices, 1)

    def one(self, choices):
        return self.random.choice(choices)

    def maybe(self, share=0.5):
        return self.random.random() < share


def scaling(d, rotary, types, positions=POSITIONS):
    """The keys of one rope type."""
    kind = d.one(types)
    keys = {} if kind == "default" else {"rope_type": kind}
    original = d.one([16, 24, 32])
    if kind in ("linear", "dynamic", "llama3", "yarn"):
        keys["factor"] = d.one([2.0, 4.0, 1.5])
    if kind == "llama3":
        keys |= dict(low_freq_factor=d.one([1.0, 2.0]), high_freq_factor=d.one([4.0, 8.0]),
                     original_max_position_embeddings=original)
    if kind == "yarn":
        if d.maybe(0.8):
            keys["original_max_position_embeddings"] = original
        for key, choices in (("beta_fast", [4.0, 16, 32]), ("beta_slow", [1.0, 2]),
                             ("attention_factor", [0.8, 1.3]), ("truncate", [False, True]),
                             ("mscale", [0.7, 1.0]), ("mscale_all_dim", [0.4, 1.0])):
            if d.maybe(0.35):
                keys[key] = d.one(choices)
    if kind == "longrope":
        keys |= dict(short_factor=[round(1 + d.random.random(), 3) for _ in range(rotary // 2)],
                     long_factor=[round(1.5 + 3 * d.random.random(), 3) for _ in range(rotary // 2)],
                     original_max_position_embeddings=original)
        if d.maybe(0.4):
            keys["factor"] = d.one([2.0, 4.0])
        if d.maybe(0.3):
            keys["attention_factor"] = d.one([0.9, 1.2])
    return keys


ROPES = ["default", "default", "linear", "dynamic", "llama3", "yarn", "yarn", "longrope"]


def rope(d, rotary, types=ROPES, partial=ABSENT):
    """Rotary positions in the form of version 4 or 5."""
    keys = scaling(d, rotary, types)
    theta = d.one([ABSENT, 500.0, 1e6, 10000])
    if d.maybe():
        if keys and d.maybe(0.3):
            keys["type"] = keys.pop("rope_type")
        if keys or d.maybe(0.3):
            d.keys["rope_scaling"] = keys or None
        if theta is not ABSENT:
            d.keys["rope_theta"] = theta
        if partial is not ABSENT:
            d.keys["partial_rotary_factor"] = partial
        return
    if not keys and theta is ABSENT and partial is ABSENT and d.maybe():
        return
    keys = {"rope_type": "default"} | keys
    if theta is not ABSENT:
        keys["rope_theta"] = theta
    if partial is not ABSENT:
        (keys if d.maybe() else d.keys)["partial_rotary_factor"] = partial
    d.keys["rope_parameters"] = keys


def sizes(d, kv=True, head=True, ffn="intermediate_size"):
    """Sizes of a model laid out as LLaMA; returns the size of a head."""
    d.keys |= dict(vocab_size=VOCAB, hidden_size=32, num_hidden_layers=d.one(LAYERS),
                   num_attention_heads=d.one([4, 4, 2, 8]), max_position_embeddings=POSITIONS,
                   pad_token_id=None)
    d.keys[ffn] = d.one([48, 40, 33])
    heads = d.keys["num_attention_heads"]
    if kv:
        d.must("num_key_value_heads", [n for n in (1, 2, heads) if heads % n == 0])
    size = 32 // heads
    if head and d.maybe():
        size = d.keys["head_dim"] = d.one([8, 12, 16])
    d("tie_word_embeddings", FLAG)
    d("initializer_range", [0.05], 0.1)
    return size


def layer_types(d, often=0.4):
    if d.maybe(often):
        kinds = ["sliding_attention", "full_attention"]
        d.keys["layer_types"] = [d.one(kinds) for _ in range(d.keys["num_hidden_layers"])]


def eps(d, key):
    d(key, [1e-5, 1e-6, 1e-3, 0.1])


def llama(d):
    head = sizes(d)
    rope(d, head)
    d("hidden_act", SILU), d("attention_bias", FLAG), d("mlp_bias", FLAG), eps(d, "rms_norm_eps")
    d("pretraining_tp", [1], 0.2)


def mistral(d):
    head = sizes(d)
    rope(d, head)
    d("hidden_act", SILU), eps(d, "rms_norm_eps"), d("sliding_window", [5, 9, None, 100], 0.8)


def mixtral(d):
    head = sizes(d)
    rope(d, head)
    d("hidden_act", SILU), eps(d, "rms_norm_eps"), d("sliding_window", [5, 9, None])
    d.must("num_local_experts" if d.maybe() else "num_experts", [4, 5, 8])
    d.must("num_experts_per_tok", [1, 2, 3])
    d("output_router_logits", FLAG), d("router_aux_loss_coef", [0.01, 0.1])


def granite(d):
    head = sizes(d, head=False)
    rope(d, head)
    d("hidden_act", SILU), d("attention_bias", FLAG), d("mlp_bias", FLAG), eps(d, "rms_norm_eps")
    d("embedding_multiplier", [3.0, 12]), d("residual_multiplier", [0.3, 0.22])
    d("attention_multiplier", [0.2, 0.1]), d("logits_scaling", [7.0, 2])


def cohere(d):
    head = sizes(d, head=False)
    rope(d, head)
    d("hidden_act", SILU), d("attention_bias", FLAG), eps(d, "layer_norm_eps")
    d("use_qk_norm", FLAG), d("logit_scale", [0.3, 1.0])


def olmo2(d):
    head = sizes(d, head=False)
    rope(d, head)
    d("hidden_act", SILU), d("attention_bias", FLAG), eps(d, "rms_norm_eps")


def qwen2(d):
    head = sizes(d, head=False)
    rope(d, head)
    d("hidden_act", SILU), eps(d, "rms_norm_eps")
    d("use_sliding_window", FLAG), d("sliding_window", [4, 7, None]), d("max_window_layers", [0, 1, 2, 28])
    layer_types(d)


def qwen3(d):
    head = sizes(d)
    d.keys.setdefault("head_dim", head)
    rope(d, head)
    d("hidden_act", SILU), eps(d, "rms_norm_eps"), d("attention_bias", FLAG)
    d("use_sliding_window", FLAG), d("sliding_window", [4, 7, None]), d("max_window_layers", [0, 1, 2, 28])
    layer_types(d)


def experts(d):
    d.must("num_experts", [4, 6]), d.must("num_experts_per_tok", [1, 2, 3])
    d.must("moe_intermediate_size", [16, 24]), d("norm_topk_prob", FLAG)
    d("decoder_sparse_step", [1, 2, 3]), d("mlp_only_layers", [[], [0], [1], [0, 2]])
    d("output_router_logits", FLAG), d("router_aux_loss_coef", [0.01, 0.1])


def qwen2_moe(d):
    head = sizes(d, head=False)
    rope(d, head)
    d("hidden_act", SILU), eps(d, "rms_norm_eps"), d("qkv_bias", FLAG)
    d("use_sliding_window", FLAG), d("sliding_window", [4, 7]), d("max_window_layers", [0, 1, 2, 28])
    layer_types(d, 0.25)
    experts(d), d.must("shared_expert_intermediate_size", [16, 40])


def qwen3_moe(d):
    head = sizes(d)
    d.keys.setdefault("head_dim", head)
    rope(d, head)
    d("hidden_act", SILU), eps(d, "rms_norm_eps"), d("attention_bias", FLAG)
    d("use_sliding_window", FLAG), d("sliding_window", [4, 7, None]), d("max_window_layers", [1, 28], 0.3)
    experts(d)


def gemma(d):
    head = sizes(d)
    d.keys.setdefault("head_dim", head)
    rope(d, head)
    d("hidden_act", SILU), eps(d, "rms_norm_eps"), d("attention_bias", FLAG)
    d("hidden_activation", [None, "gelu_pytorch_tanh"], 0.2)


def gemma2(d):
    head = sizes(d)
    d.keys.setdefault("head_dim", head)
    rope(d, head)
    d("hidden_activation", SILU), eps(d, "rms_norm_eps"), d("attention_bias", FLAG)
    d("query_pre_attn_scalar", [8, 20, 12]), d("sliding_window", [4, 7])
    d("attn_logit_softcapping", [5.0, None]), d("final_logit_softcapping", [4.0, None])
    layer_types(d)


def gemma3(d):
    head = sizes(d)
    d.keys.setdefault("head_dim", head)
    d("hidden_activation", SILU), eps(d, "rms_norm_eps"), d("attention_bias", FLAG)
    d("query_pre_attn_scalar", [8, 20, 12]), d("sliding_window", [4, 7])
    d("attn_logit_softcapping", [5.0, None]), d("final_logit_softcapping", [4.0, None])
    layer_types(d, 0.6)
    if "layer_types" not in d.keys:
        d("sliding_window_pattern", [1, 2, 3])
    if d.maybe():
        keys = scaling(d, head, ROPES)
        if keys:
            d.keys["rope_scaling"] = keys
        d("rope_theta", [500.0, 1e6]), d("rope_local_base_freq", [300.0, 10000.0])
        return
    both = {}
    for kind in ("full_attention", "sliding_attention"):
        if d.maybe(0.8):
            both[kind] = {"rope_type": "default"} | scaling(d, head, ROPES)
            if d.maybe():
                both[kind]["rope_theta"] = d.one([500.0, 20000.0])
    if both:
        d.keys["rope_parameters"] = both


def gpt(d, kind):
    d.keys |= dict(vocab_size=VOCAB, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
    other = kind == "gpt2" and d.maybe(0.3)  # names that stand for them
    names = dict(n_embd="hidden_size", n_layer="num_hidden_layers", n_head="num_attention_heads",
                 n_positions="max_position_embeddings")
    for key, value in dict(n_embd=32, n_layer=d.one(LAYERS), n_head=d.one([2, 4]),
                           n_positions=POSITIONS).items():
        d.keys[names[key] if other else key] = value
    d("n_inner", [48, 80, None]), d("activation_function", ["gelu_new", "relu", "gelu", "silu", "tanh"])
    eps(d, "layer_norm_epsilon"), d("tie_word_embeddings", FLAG)


def gpt2(d):
    gpt(d, "gpt2")
    d("scale_attn_weights", FLAG), d("scale_attn_by_inverse_layer_idx", FLAG)
    d("reorder_and_upcast_attn", FLAG)


def gptj(d):
    gpt(d, "gptj")
    d.must("rotary_dim", [2, 4, 8])


def gpt_neox(d):
    head = sizes(d, kv=False, head=False)
    d("hidden_act", SILU), eps(d, "layer_norm_eps"), d("use_parallel_residual", FLAG)
    d("attention_bias", FLAG)
    share = d.one([ABSENT, 0.25, 0.5, 1.0])
    if head * (0.25 if share is ABSENT else share) < 2:
        share = 0.5
    rotary = int(head * (0.25 if share is ABSENT else share)) // 2 * 2
    keys = scaling(d, rotary, ROPES[:-1])
    if d.maybe():
        if share is not ABSENT:
            d.keys["rotary_pct"] = share
        d("rotary_emb_base", [500, 10000])
        if keys:
            d.keys["rope_scaling"] = keys
        return
    keys = {"rope_type": "default"} | keys
    if share is not ABSENT:
        keys["partial_rotary_factor"] = share
    if d.maybe():
        keys["rope_theta"] = 700.0
    d.keys["rope_parameters"] = keys


def opt(d):
    d.keys |= dict(vocab_size=VOCAB, hidden_size=32, num_hidden_layers=d.one(LAYERS),
                   num_attention_heads=d.one([2, 4]), ffn_dim=d.one([48, 40]), dropout=0.0,
                   max_position_embeddings=POSITIONS)
    d("do_layer_norm_before", FLAG), d("_remove_final_layer_norm", FLAG)
    d("word_embed_proj_dim", [16, 32]), d("enable_bias", FLAG)
    d("layer_norm_elementwise_affine", FLAG), d("tie_word_embeddings", FLAG)
    d("activation_function", SILU), d("layerdrop", [0.0], 0.3), d("pad_token_id", [1, None, 0], 0.3)


def bloom(d):
    heads = d.one([4, 2, 6, 5])
    d.keys |= dict(vocab_size=VOCAB)
    d.keys["n_embed" if d.maybe(0.3) else "hidden_size"] = 8 * heads
    d.keys["num_hidden_layers" if d.maybe(0.3) else "n_layer"] = d.one(LAYERS)
    d.keys["num_attention_heads" if d.maybe(0.3) else "n_head"] = heads
    eps(d, "layer_norm_epsilon"), d("apply_residual_connection_post_layernorm", FLAG)
    d("tie_word_embeddings", FLAG), d("pretraining_tp", [1, 2], 0.3), d("slow_but_exact", FLAG, 0.3)


def falcon(d):
    heads = d.one([4, 2, 6])
    d.keys |= dict(vocab_size=VOCAB, hidden_size=8 * heads, num_hidden_layers=d.one(LAYERS),
                   num_attention_heads=heads, max_position_embeddings=POSITIONS)
    d("new_decoder_architecture", FLAG), d("multi_query", FLAG), d("parallel_attn", FLAG)
    d("num_kv_heads", [n for n in (1, 2, heads) if heads % n == 0]), d("bias", FLAG)
    d("num_ln_in_parallel_attn", [1, 2, None], 0.4), d("ffn_hidden_size", [40, 64])
    d("activation", ["gelu", "relu", "gelu_new"]), eps(d, "layer_norm_epsilon")
    d("tie_word_embeddings", FLAG)
    if d("alibi", FLAG, 0.4) is not True:
        rope(d, 8)


def phi(d):
    head = sizes(d, head=False)
    share = d.one([ABSENT, 0.5, 1.0]) if head == 4 else d.one([ABSENT, 0.25, 0.5, 1.0])
    rope(d, int(head * (0.5 if share is ABSENT else share)), partial=share)
    d("hidden_act", SILU), eps(d, "layer_norm_eps"), d("qk_layernorm", FLAG)


def phi3(d):
    head = sizes(d, head=False)
    share = d.one([ABSENT, 0.5, 1.0])
    rope(d, int(head * (1 if share is ABSENT else share)), ["default", "longrope", "longrope"],
         partial=share)
    d("hidden_act", SILU), eps(d, "rms_norm_eps"), d("sliding_window", [5, None, 9])
    d("original_max_position_embeddings", [16, 32, 64])


def stablelm(d):
    head = sizes(d, head=False)
    share = d.one([0.5, 1.0]) if head == 4 else d.one([ABSENT, 0.25, 0.5, 1.0])
    rope(d, int(head * (0.25 if share is ABSENT else share)), partial=share)
    d("hidden_act", SILU), eps(d, "layer_norm_eps"), d("use_qkv_bias", FLAG)
    d("qk_layernorm", FLAG), d("use_parallel_residual", FLAG)


def starcoder2(d):
    head = sizes(d, head=False)
    rope(d, head)
    d("hidden_act", SILU), eps(d, "norm_epsilon"), d("use_bias", FLAG)
    d("sliding_window", [5, None, 9])


def deepseek(d):
    d.keys |= dict(vocab_size=VOCAB, hidden_size=32, num_hidden_layers=d.one(LAYERS),
                   num_attention_heads=4, num_key_value_heads=4, intermediate_size=40,
                   max_position_embeddings=POSITIONS, moe_intermediate_size=d.one([12, 16]),
                   n_routed_experts=8, kv_lora_rank=d.one([8, 16]), qk_nope_head_dim=d.one([8, 6]),
                   qk_rope_head_dim=d.one([4, 8]), v_head_dim=d.one([8, 12]))
    d.must("q_lora_rank", [None, 12, 20])
    d.must("n_shared_experts", [1, 2]), d.must("first_k_dense_replace", [0, 1, 2])
    d("routed_scaling_factor", [2.5, 1.0]), d("norm_topk_prob", FLAG), d("attention_bias", FLAG)
    d("hidden_act", SILU), eps(d, "rms_norm_eps"), d("tie_word_embeddings", FLAG)
    rope(d, d.keys["qk_rope_head_dim"], ["default", "yarn", "yarn", "linear", "llama3"])


def deepseek_v2(d):
    deepseek(d)
    d.must("num_experts_per_tok", [1, 2, 3]), d("mlp_bias", FLAG)
    if d("topk_method", ["greedy", "group_limited_greedy"]) == "group_limited_greedy":
        d.must("n_group", [2, 4]), d.must("topk_group", [2])
        d.keys["num_experts_per_tok"] = min(d.keys["num_experts_per_tok"], 4)


def deepseek_v3(d):
    deepseek(d)
    groups = d.must("n_group", [1, 2, 4])
    d.keys["topk_group"] = d.one([1, 2]) if groups > 1 else 1
    d.must("num_experts_per_tok", [1, 2]), d("rope_interleave", FLAG)


def encoder(d):
    heads = d.one([4, 2])
    d.keys |= dict(vocab_size=VOCAB, hidden_size=32, num_hidden_layers=d.one(LAYERS),
                   num_attention_heads=heads, intermediate_size=d.one([48, 40]),
                   max_position_embeddings=POSITIONS)
    d("tie_word_embeddings", FLAG)
    return 32 // heads


def bert(d):
    encoder(d)
    d("hidden_act", SILU), eps(d, "layer_norm_eps"), d("type_vocab_size", [1, 2, 3])
    d("pad_token_id", [0, None, 1])


def roberta(d):
    bert(d)
    d.must("pad_token_id", [1, 0, 4])


def nomic_bert(d):
    head = encoder(d)
    d("hidden_act", SILU), eps(d, "layer_norm_eps"), d("type_vocab_size", [1, 2, 3])
    if d.maybe(0.3):
        head = d.keys["head_dim"] = d.one([8, 12])
    rope(d, head)


def modernbert(d):
    head = encoder(d)
    d.keys["pad_token_id"] = 0
    d("hidden_activation", SILU), eps(d, "norm_eps"), d("norm_bias", FLAG)
    d("attention_bias", FLAG), d("mlp_bias", FLAG), d("decoder_bias", FLAG)
    d("classifier_bias", FLAG), d("classifier_activation", SILU), d("local_attention", [4, 7, 10])
    layer_types(d, 0.5)
    if "layer_types" not in d.keys:
        d("global_attn_every_n_layers", [1, 2, 3])
    if d.maybe():
        d("global_rope_theta", [500.0, 1e5]), d("local_rope_theta", [300.0, 1e4])
        return
    both = {}
    for kind in ("full_attention", "sliding_attention"):
        if d.maybe(0.8):
            both[kind] = {"rope_type": "default"} | scaling(d, head, ROPES)
            if d.maybe():
                both[kind]["rope_theta"] = d.one([500.0, 20000.0])
    if both:
        d.keys["rope_parameters"] = both


DECODERS = {"gpt2": gpt2, "gptj": gptj, "gpt_neox": gpt_neox, "opt": opt, "bloom": bloom,
            "falcon": falcon, "phi": phi, "phi3": phi3, "stablelm": stablelm,
            "starcoder2": starcoder2, "llama": llama, "mistral": mistral, "mixtral": mixtral,
            "granite": granite, "cohere": cohere, "olmo2": olmo2, "qwen2": qwen2, "qwen3": qwen3,
            "qwen2_moe": qwen2_moe, "qwen3_moe": qwen3_moe, "gemma": gemma, "gemma2": gemma2,
            "gemma3_text": gemma3, "deepseek_v2": deepseek_v2, "deepseek_v3": deepseek_v3}
ENCODERS = {"bert": bert, "roberta": roberta, "xlm-roberta": roberta, "nomic_bert": nomic_bert,
            "modernbert": modernbert}


def fill(model, zero_centred):
    """Norms and biases away from their defaults."""
    parameters = dict(model.named_parameters())
    parameters |= {n: b for n, b in model.named_buffers() if n.endswith("e_score_correction_bias")}
    with torch.no_grad():
        for name, p in parameters.items():
            norm = any(part in name.lower() for part in ("norm", "ln_"))
            p.normal_(0, 0.2 if norm or p.dim() < 2 else 0.25)
            p.add_(1.0 if norm and name.endswith("weight") and not zero_centred else 0.0)
    model.tie_weights()


def train(model, rows, targets, run, names):
    """The section `train` of docs/verify.md; run: (inputs) -> cross-entropy, total, auxiliary loss;
    names: of tensors in the file. Of AdamW what a first step shows: later ones magnify the rounding of
    gradients that ought to be 0."""
    loss, total, balance = run(rows)
    total.backward()
    found = {"input_ids": rows.tolist(), "target_ids": targets.tolist(), "cross_entropy": loss.item()}
    if balance is not None:
        found["aux_loss"] = balance.item()
    found["grad_norms"] = {n: p.grad.norm().item() for n, p in model.named_parameters()
                           if p.grad is not None and n in names}
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    found["adamw"] = {"lr": 1e-3, "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.1,
                      "clip_norm": 1.0, "loss_and_grad_norm": [[loss.item(), norm.item()]]}
    return found


def decoder_golden(model, kind, names):
    routed = getattr(model.config, "output_router_logits", False) and kind in (
        "mixtral", "qwen2_moe", "qwen3_moe")
    found = {"forward": []}
    for length in (41, 7):
        ids = torch_families.ids_of(f"{length}", length)
        logits = torch_families.forward(model, ids)
        loss = torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(ids[1:]))
        found["forward"].append({"ids": ids, "last_logits": logits[-1].tolist(),
                                 "mean_loss": loss.item()})
    rows = torch.tensor([torch_families.ids_of(f"row {r}", 25) for r in range(2)])
    targets = rows[:, 1:]

    def run(inputs):
        out = model(inputs, output_router_logits=True) if routed else model(inputs)
        loss = torch.nn.functional.cross_entropy(out.logits.flatten(0, 1), targets.flatten())
        if not routed or out.aux_loss is None or isinstance(out.aux_loss, int):
            return loss, loss, None
        return loss, loss + model.config.router_aux_loss_coef * out.aux_loss, out.aux_loss

    return found | {"train": train(model, rows[:, :-1], targets, run, names)}


def encoder_golden(model, kind, names):
    # Positions of RoBERTa pass over padding tokens.
    ids = torch.tensor([torch_families.ids_of("text", 41)]).clamp(min=6)
    place = 12
    with torch.no_grad():
        out = model(ids, output_hidden_states=True)
    found = {"forward": {"ids": ids[0].tolist(),
                         "logits": {"position": place, "values": out.logits[0, place].tolist()}}}
    rows = torch.tensor([torch_families.ids_of(f"row {r}", 24) for r in range(2)])
    rows = rows.clamp(min=6)
    targets = torch.full_like(rows, -100)
    targets[:, [2, 9, 10, 21]] = rows[:, [2, 9, 10, 21]]
    rows[0, [2, 9]] = 5

    def run(inputs):
        loss = model(inputs, labels=targets).loss
        return loss, loss, None

    return found | {"train": train(model, rows, targets, run, names)}


def save(model, keys, kind, folder, as_drawn):
    if kind in ENCODERS:
        model.save_pretrained(folder)
    else:
        model.config.save_pretrained(folder)
        save_file(tensors_of(model), folder / "model.safetensors", metadata={"format": "pt"})
    if as_drawn:
        written = {"model_type": kind, "architectures": [type(model).__name__]} | keys
        (folder / "config.json").write_text(json.dumps(written, indent=1) + "\n")


def is_rounding(detail):
    """Whether the worst check is apart by rounding: verify allows norms 1e-4, whatever their size."""
    match = re.search(r": (\S+) instead of (\S+),", detail)
    if match is None:
        return False
    found, wanted = float(match[1]), float(match[2])
    return abs(found - wanted) <= TOLERANCE * max(1.0, abs(wanted))


def verify(folder):
    run = subprocess.run([ASHLAR, "verify", str(folder), "--json", "--threads", "1"],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
    if not run.stdout.strip():
        return "refused", run.stderr.decode().strip().splitlines()[-1].replace(str(folder), "MODEL")
    sections = json.loads(run.stdout)["sections"]
    failed = {n: sections[n]["detail"] for n in ("forward", "train")
              if sections[n]["status"] != "passed" and not is_rounding(sections[n]["detail"])}
    return ("DIFFERS", str(failed)) if failed else ("agrees", "")


def attempt(kind, seed, folder):
    """(what came of it, detail, keys)"""
    d = Draw(f"{kind} {seed}")
    (DECODERS | ENCODERS)[kind](d)
    as_drawn = d.maybe(0.6)
    torch.manual_seed(seed)
    text = {"model_type": kind} | d.keys
    (folder / "config.json").write_text(json.dumps(text))
    try:
        config = transformers.AutoConfig.from_pretrained(
            folder, attn_implementation="sdpa" if kind == "falcon" else "eager")
        auto = transformers.AutoModelForMaskedLM if kind in ENCODERS else \
            transformers.AutoModelForCausalLM
        model = auto.from_config(config).float().eval()
        fill(model, kind.startswith("gemma"))
        golden = (encoder_golden if kind in ENCODERS else decoder_golden)
        # Saved before training changes it.
        save(model, d.keys, kind, folder, as_drawn)
        with safe_open(folder / "model.safetensors", "pt") as file:
            names = set(file.keys())
        (folder / "golden.json").write_text(json.dumps(golden(model, kind, names)))
    except Exception as error:
        return "transformers refuses", f"{type(error).__name__}: {str(error)[:150]}", d.keys
    return *verify(folder), d.keys


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("families", nargs="*")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep")
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    differ = 0
    for kind in given.families or DECODERS | ENCODERS:
        counts, refusals = collections.Counter(), collections.Counter()
        for seed in range(given.seed, given.seed + given.draws):
            with tempfile.TemporaryDirectory() as name:
                folder = pathlib.Path(name)
                result, detail, keys = attempt(kind, seed, folder)
                counts[result] += 1
                if result == "DIFFERS":
                    print(f"{kind} {seed}: {detail}\n    {json.dumps(keys)}", flush=True)
                    if given.keep:
                        shutil.copytree(folder, pathlib.Path(given.keep) / f"{kind}_{seed}",
                                        dirs_exist_ok=True)
                elif result != "agrees":
                    refusals[f"{result}: {detail}"] += 1
        differ += counts["DIFFERS"]
        print(f"{kind:12} " + ", ".join(f"{n} {what}" for what, n in counts.items()), flush=True)
        for text, count in refusals.items() if given.keep else ():
            print(f"    {count} x {text}")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
