"""Writes tests/fixtures/models_real/*.json: what transformers computes in float32 for models of real
widths (head size 80, groups of 5, 700 tokens, a window that crosses blocks) whose weights are a
formula, so that no weights need storing.

    pip install torch==2.15.0 transformers==5.23.0
    python3 tests/oracles/model_goldens.py

Element i of a tensor: u = top 24 bits of splitmix64(fnv1a64(name) + i) / 2^24 - 1/2, times 2 std for
matrices and biases, 1 + u for the weights of norms. tests/models/real_size_test.cc makes the same.
"""

import json
import pathlib

import numpy as np
import torch
import transformers

OUT = pathlib.Path(__file__).parent.parent / "fixtures" / "models_real"
STD = 0.05
TOKENS = 700

LLAMA = dict(model_type="llama", vocab_size=1000, hidden_size=320, num_hidden_layers=2,
             num_attention_heads=5, num_key_value_heads=1, head_dim=80, intermediate_size=864,
             max_position_embeddings=1024, rms_norm_eps=1e-5, tie_word_embeddings=False)
CASES = {
    "llama_grouped": LLAMA | dict(
        attention_bias=True, mlp_bias=True, tie_word_embeddings=True,
        rope_scaling=dict(rope_type="linear", factor=2.5)),
    "llama3_rope": LLAMA | dict(rope_theta=500000.0, rope_scaling=dict(
        rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
        original_max_position_embeddings=256)),
    "llama_window": LLAMA | dict(sliding_window=150),
    "gpt2": dict(model_type="gpt2", vocab_size=1000, n_embd=320, n_layer=2, n_head=4,
                 n_positions=1024, embd_pdrop=0.0, resid_pdrop=0.0, attn_pdrop=0.0),
}


def uniform(name, count):
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = (h ^ byte) * 0x100000001B3 % 2**64
    with np.errstate(over="ignore"):
        x = np.uint64(h) + np.arange(count, dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    return (x >> np.uint64(40)).astype(np.float64) / 2**24 - 0.5


def is_norm_weight(name):
    return name.endswith(".weight") and ("norm" in name or ".ln_" in name)


def build(config):
    config = dict(config)
    kind = config.pop("model_type")
    if "sliding_window" in config:  # a LLaMA with a window is what transformers calls Mistral
        kind = "mistral"
    hf = transformers.AutoConfig.for_model(kind, attn_implementation="eager", **config)
    model = transformers.AutoModelForCausalLM.from_config(hf).float().eval()
    for name, p in model.named_parameters():
        u = uniform(name, p.numel())
        values = 1 + u if is_norm_weight(name) else 2 * STD * u
        p.data = torch.tensor(values.astype(np.float32)).reshape(p.shape)
    return model


def golden(config):
    model = build(config)
    ids = np.floor((uniform("tokens", TOKENS) + 0.5) * config["vocab_size"]).astype(int).tolist()
    logits = model(torch.tensor([ids])).logits[0]
    loss = torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(ids[1:]))
    loss.backward()
    rows = [0, 1, 15, 16, 63, 64, 149, 150, 299, 511, 512, 699]
    return {
        "config": {k: v for k, v in config.items() if k != "sliding_window"},
        "window": config.get("sliding_window", 0),
        "tensors": {n: list(p.shape) for n, p in model.named_parameters()},
        "std": STD,
        "ids": ids,
        "rows": rows,
        "logits": [[round(x, 6) for x in logits[r, ::20].tolist()] for r in rows],
        "mean_loss": loss.item(),
        "grad_norms": {n: p.grad.norm().item() for n, p in model.named_parameters()},
    }


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for name, config in CASES.items():
        (OUT / f"{name}.json").write_text(json.dumps(golden(config)) + "\n")


main()
