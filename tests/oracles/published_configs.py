"""The config.json of models that people have, key for key, with smaller sizes: each loads, and what
Ashlar computes of it with random weights is what transformers does (as random_configs.py compares).

    ./dev oracles published_configs [NAME...]
"""
import argparse
import logging
import pathlib
import sys
import tempfile

import torch

import random_configs
from checkpoint_configs import CONFIGS

# What a model is cut down to; whatever else the file says stays as it is.
SIZES = {"vocab_size": 96, "hidden_size": 32, "n_embd": 32, "n_embed": 32, "num_hidden_layers": 4, "n_layer": 4,
         "intermediate_size": 48, "ffn_hidden_size": 128, "ffn_dim": 48, "n_inner": 48, "head_dim": 8, "sliding_window": 9,
         "sliding_window_size": 9, "local_attention": 10, "word_embed_proj_dim": 16, "rotary_dim": 4,
         "original_max_position_embeddings": 32, "kv_lora_rank": 16, "q_lora_rank": 12, "qk_nope_head_dim": 8,
         "qk_rope_head_dim": 8, "v_head_dim": 8, "moe_intermediate_size": 16, "num_experts": 8,
         "num_local_experts": 8, "n_routed_experts": 8, "shared_expert_intermediate_size": 16,
         "query_pre_attn_scalar": 8, "max_window_layers": 2}
POSITIONS = ("max_position_embeddings", "n_positions", "seq_length", "n_ctx", "model_max_length")
IDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "cls_token_id": 1, "sep_token_id": 2}


def cut(config):
    keys = {}
    for key, value in config.items():
        if isinstance(value, dict):
            value = cut(value)
        elif key in SIZES and value is not None:
            value = SIZES[key]
        elif key in POSITIONS:
            value = 128
        elif key in IDS and value is not None:
            value = [IDS[key], 3] if isinstance(value, list) else IDS[key]
        elif key == "layer_types":
            value = value[:3] + value[-1:]
        elif key in ("long_factor", "short_factor"):
            value = value[:4]
        keys[key] = value
    for of_heads in ("num_attention_heads", "n_head"):
        if of_heads not in config:
            continue
        keys[of_heads] = 4
        for of_keys in ("num_key_value_heads", "num_kv_heads"):
            if of_keys in config:
                keys[of_keys] = max(1, 4 * config[of_keys] // config[of_heads])
    if "num_experts_per_tok" in keys:
        keys["num_experts_per_tok"] = min(3, keys["num_experts_per_tok"])
    if keys.get("n_group", 1) > 4:
        keys |= {"n_group": 4, "topk_group": 2}
    if keys.get("model_type") in ("roberta", "xlm-roberta"):
        keys["pad_token_id"] = 1
    return keys


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    failed = 0
    for name, config in CONFIGS.items():
        if given.names and name not in given.names:
            continue
        with tempfile.TemporaryDirectory() as folder:
            keys = cut(config)
            result, detail = random_configs.compare(keys["model_type"], keys, 0, pathlib.Path(folder), as_drawn=True)
        print(f"{name:28} {result} {detail}", flush=True)
        failed += result != "agrees"
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
