"""Every key of every family's configuration class set to other values, one key at a time: what Ashlar
then computes is what transformers does (as random_configs.py compares), or the key is refused.

    ./dev oracles config_keys [FAMILY...]

Prints what is refused, and whether transformers computes the same with the key as without it.
"""
import json
import logging
import pathlib
import sys
import tempfile

import torch
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

import random_configs
from family_draws import DECODERS, ENCODERS, Draw

# Sizes and tokens, which random_configs.py draws; keys whose values are objects; what is no key of a file.
OTHERS = {"vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim",
          "intermediate_size", "ffn_dim", "n_embd", "n_layer", "n_head", "n_inner", "n_positions",
          "max_position_embeddings", "pad_token_id", "bos_token_id", "eos_token_id", "unk_token_id", "cls_token_id",
          "sep_token_id", "rope_parameters", "rope_scaling", "layer_types", "model_type", "transformers_version",
          "architectures", "dtype", "use_cache", "return_dict", "output_hidden_states", "output_attentions"}


def alternatives(value):
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, 2, 0]
    if isinstance(value, float):
        return [value * 1.7 + 0.1]
    return [2, 0.5, True] if value is None else []


def run(kind, keys):
    """(what came of it, detail, what transformers computed)"""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        result, detail = random_configs.compare(kind, keys, 0, folder, as_drawn=True)
        golden = folder / "golden.json"
        return result, detail, json.loads(golden.read_text()) if golden.exists() else None


def sweep(kind):
    """How many values differ."""
    for seed in range(40):  # a configuration that both compute
        draw = Draw(f"{kind} {seed}")
        (DECODERS | ENCODERS)[kind](draw)
        result, detail, plain = run(kind, draw.keys)
        if result == "agrees":
            break
    else:
        raise RuntimeError(f"{kind}: no draw agrees: {detail}")
    defaults, differ, values = CONFIG_MAPPING[kind]().to_dict(), 0, 0
    for key in defaults:
        if key in OTHERS or key.startswith("_"):
            continue
        for value in alternatives(draw.keys.get(key, defaults[key])):
            result, detail, golden = run(kind, draw.keys | {key: value})
            values += 1
            differ += result == "DIFFERS"
            if result == "refused":
                result += " though the same" if golden == plain else ""
            if result not in ("agrees", "transformers refuses"):
                print(f"{kind}: {key} = {value} {result}: {detail}", flush=True)
    print(f"{kind:12} {values} values, {differ} differ", flush=True)
    return differ


def main():
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    return 1 if sum(sweep(kind) for kind in sys.argv[1:] or DECODERS | ENCODERS) else 0


if __name__ == "__main__":
    sys.exit(main())
