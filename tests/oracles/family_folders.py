"""Models of every family as transformers writes them, with random weights, wide enough for blocks of
256: what llamacpp_families.py and torch_saved.py convert, train and load.

    python tests/oracles/family_folders.py FOLDER [NAME...]
"""
import pathlib
import sys

import torch
import transformers
from safetensors.torch import save_file

from torch_mixtures import by_expert

VOCAB = 96
SIZES = dict(vocab_size=VOCAB, hidden_size=256, num_hidden_layers=2, num_attention_heads=4,
             intermediate_size=512, max_position_embeddings=128, bos_token_id=1, eos_token_id=2,
             pad_token_id=0)
GROUPED = SIZES | dict(num_key_value_heads=2)
GPT = dict(vocab_size=VOCAB, n_embd=256, n_layer=2, n_head=4, n_positions=128, bos_token_id=1,
           eos_token_id=2, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
FALCON = {k: v for k, v in SIZES.items() if k != "intermediate_size"}
EXPERTS = GROUPED | dict(num_experts=6, num_experts_per_tok=2, moe_intermediate_size=256)
LATENT = SIZES | dict(num_key_value_heads=4, num_experts_per_tok=2, moe_intermediate_size=256,
                      n_routed_experts=8, kv_lora_rank=256, qk_nope_head_dim=32,
                      qk_rope_head_dim=32, v_head_dim=64, n_shared_experts=1,
                      first_k_dense_replace=1)
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=32)
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=32)
LATENT_YARN = YARN | dict(mscale=0.7, mscale_all_dim=0.7)

# By llama.cpp's architecture, or "" where it has none; the configs are what it can compute.
CASES = {
    "llama": ("llama", "llama", GROUPED),
    "llama_llama3": ("llama", "llama", GROUPED | dict(rope_parameters=LLAMA3 | dict(rope_theta=1e4))),
    "llama_linear": ("llama", "llama", GROUPED | dict(
        rope_parameters=dict(rope_type="linear", factor=4.0, rope_theta=1e4))),
    "llama_yarn": ("llama", "llama", GROUPED | dict(
        attention_bias=True, mlp_bias=True, rope_parameters=YARN | dict(rope_theta=1e4))),
    "mistral": ("llama", "mistral", GROUPED | dict(sliding_window=None, head_dim=32)),
    "mixtral": ("llama", "mixtral", GROUPED | dict(num_local_experts=8, num_experts_per_tok=2)),
    "granite": ("granite", "granite", GROUPED | dict(
        embedding_multiplier=3.0, residual_multiplier=0.3, attention_multiplier=0.2,
        logits_scaling=7.0)),
    "gpt2": ("gpt2", "gpt2", GPT),
    "gpt_neox": ("gptneox", "gpt_neox", SIZES),
    "gpt_neox_in_turn": ("gptneox", "gpt_neox", SIZES | dict(
        use_parallel_residual=False, rotary_emb_base=500, rotary_pct=0.5)),
    "bloom": ("bloom", "bloom", dict(vocab_size=VOCAB, hidden_size=256, n_layer=2, n_head=4,
                                     bos_token_id=1, eos_token_id=2, pad_token_id=0)),
    "falcon": ("falcon", "falcon", FALCON),
    "falcon_second": ("falcon", "falcon", FALCON | dict(new_decoder_architecture=True,
                                                        num_kv_heads=2)),
    "phi": ("phi2", "phi", GROUPED),
    "phi3": ("phi3", "phi3", GROUPED),
    "phi3_long": ("phi3", "phi3", GROUPED | dict(
        original_max_position_embeddings=32, rope_parameters=dict(
            rope_type="longrope", rope_theta=1e4, short_factor=[1.0 + i / 32 for i in range(32)],
            long_factor=[1.5 + i / 8 for i in range(32)],
            original_max_position_embeddings=32))),
    "stablelm": ("stablelm", "stablelm", GROUPED | dict(use_qkv_bias=True)),
    "stablelm_norms": ("stablelm", "stablelm", GROUPED | dict(
        qk_layernorm=True, use_parallel_residual=True, tie_word_embeddings=True)),
    "starcoder2": ("starcoder2", "starcoder2", GROUPED),
    "cohere": ("command-r", "cohere", GROUPED | dict(logit_scale=0.3)),
    "olmo2": ("olmo2", "olmo2", GROUPED),
    "qwen2": ("qwen2", "qwen2", GROUPED),
    "qwen3": ("qwen3", "qwen3", GROUPED | dict(head_dim=32, tie_word_embeddings=True)),
    "qwen2_moe": ("qwen2moe", "qwen2_moe", EXPERTS | dict(shared_expert_intermediate_size=256)),
    "qwen3_moe": ("qwen3moe", "qwen3_moe", EXPERTS | dict(head_dim=64, norm_topk_prob=True)),
    "gemma": ("gemma", "gemma", GROUPED | dict(head_dim=64)),
    "gemma2": ("gemma2", "gemma2", GROUPED | dict(head_dim=64, query_pre_attn_scalar=64,
                                                  sliding_window=6)),
    "gemma3": ("gemma3", "gemma3_text", GROUPED | dict(
        head_dim=64, query_pre_attn_scalar=64, sliding_window=6,
        layer_types=["sliding_attention", "full_attention"])),
    "deepseek_v2": ("deepseek2", "deepseek_v2", LATENT | dict(
        q_lora_rank=64, topk_method="greedy", routed_scaling_factor=4.0,
        rope_parameters=LATENT_YARN | dict(rope_theta=1e4))),
    "deepseek_v2_lite": ("deepseek2", "deepseek_v2", LATENT | dict(q_lora_rank=None,
                                                                   topk_method="greedy")),
    "deepseek_v3": ("deepseek2", "deepseek_v3", LATENT | dict(
        q_lora_rank=64, n_group=4, topk_group=2, rope_parameters=LATENT_YARN | dict(rope_theta=1e4))),
    "gptj": ("", "gptj", GPT | dict(rotary_dim=32)),
    "opt": ("", "opt", dict(vocab_size=VOCAB, hidden_size=256, num_hidden_layers=2,
                            num_attention_heads=4, ffn_dim=512, max_position_embeddings=128,
                            dropout=0.0, bos_token_id=1, eos_token_id=2, pad_token_id=0)),
}


def build(name):
    _, kind, keys = CASES[name]
    torch.manual_seed(1)
    # In eager mode, Falcon adds ALiBi twice.
    config = transformers.AutoConfig.for_model(
        kind, attn_implementation="sdpa" if kind == "falcon" else "eager", **keys)
    model = transformers.AutoModelForCausalLM.from_config(config).float().eval()
    zero_centred = kind.startswith("gemma")
    with torch.no_grad():
        for key, p in list(model.named_parameters()) + [
                (k, b) for k, b in model.named_buffers() if k.endswith("e_score_correction_bias")]:
            norm = "norm" in key or "ln_" in key
            one = norm and key.endswith("weight") and not zero_centred
            p.normal_(0, 0.2 if norm or p.dim() < 2 else 0.08)
            p.add_(1.0 if one else 0.0)
    model.tie_weights()
    return model


def tensors_of(model):
    tensors = dict(model.named_parameters())
    tensors |= {n: b for n, b in model.named_buffers() if n.endswith("e_score_correction_bias")}
    if model.config.model_type == "gpt_neox":  # transformers 5 has another name in memory
        tensors = {n.replace("lm_head", "embed_out"): t for n, t in tensors.items()}
    if model.config.model_type == "mixtral":
        tensors = {n.replace(".mlp.", ".block_sparse_moe."): t for n, t in tensors.items()}
    tensors = by_expert(tensors)
    if model.config.model_type == "mixtral":
        for ours, theirs in (("gate_proj", "w1"), ("down_proj", "w2"), ("up_proj", "w3")):
            tensors = {n.replace(ours, theirs) if ".experts." in n else n: t
                       for n, t in tensors.items()}
    return {n: t.detach().contiguous().clone() for n, t in tensors.items()}


def save(name, folder):
    """Writes the model; returns it."""
    model = build(name)
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    model.config.save_pretrained(folder)
    save_file(tensors_of(model), folder / "model.safetensors", metadata={"format": "pt"})
    return model


def main():
    for name in sys.argv[2:] or CASES:
        save(name, pathlib.Path(sys.argv[1]) / name)


if __name__ == "__main__":
    main()
