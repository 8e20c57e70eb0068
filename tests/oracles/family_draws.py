"""Configurations of every family by chance, unusual ones too: what random_configs.py compares."""
import random

import torch_families

VOCAB, LAYERS, POSITIONS = torch_families.VOCAB, [2, 3, 4], 64
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
    d("pretraining_tp", [1, 2], 0.2)


def mistral(d):
    head = sizes(d)
    rope(d, head)
    d("hidden_act", SILU), eps(d, "rms_norm_eps"), d("sliding_window", [5, 9, None, 100], 0.8)


def mixtral(d):
    head = sizes(d)
    d.keys["intermediate_size"] = d.one([48, 40])  # torch's products of groups want rows of 16 bytes
    d.keys.setdefault("head_dim", head)  # transformers multiplies it with the share that rotates
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


def rope_of_layer_types(d, head):
    both = {}
    for kind in ("full_attention", "sliding_attention"):
        if d.maybe(0.8):
            both[kind] = {"rope_type": "default"} | scaling(d, head, ROPES)
            if d.maybe():
                both[kind]["rope_theta"] = d.one([500.0, 20000.0])
    if both:
        d.keys["rope_parameters"] = both


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
    rope_of_layer_types(d, head)


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
    rope_of_layer_types(d, head)


DECODERS = {"gpt2": gpt2, "gptj": gptj, "gpt_neox": gpt_neox, "opt": opt, "bloom": bloom,
            "falcon": falcon, "phi": phi, "phi3": phi3, "stablelm": stablelm,
            "starcoder2": starcoder2, "llama": llama, "mistral": mistral, "mixtral": mixtral,
            "granite": granite, "cohere": cohere, "olmo2": olmo2, "qwen2": qwen2, "qwen3": qwen3,
            "qwen2_moe": qwen2_moe, "qwen3_moe": qwen3_moe, "gemma": gemma, "gemma2": gemma2,
            "gemma3_text": gemma3, "deepseek_v2": deepseek_v2, "deepseek_v3": deepseek_v3}
ENCODERS = {"bert": bert, "roberta": roberta, "xlm-roberta": roberta, "nomic_bert": nomic_bert,
            "modernbert": modernbert}
