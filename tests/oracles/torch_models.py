"""What transformers computes in float32 for models of real widths (head size 80, groups of 5, 700
tokens, a window that crosses blocks): some rows of logits, the loss over targets of which some are
masked, the gradient norm of every tensor. Weights and token ids are counter_values of their names,
so they are not stored; tests/models/real_size_test.cc makes the same ones.

    ./dev oracles torch_models        compare with tests/fixtures/models_real
    ./dev oracles torch_models --write
"""
import json
import pathlib
import sys

import torch
import transformers

from counter_values import counter_ids, counter_values

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "models_real"
TOKENS, MATRIX_SCALE, LOGIT_STRIDE = 700, 0.05, 20
ROWS = [0, 1, 15, 16, 63, 64, 149, 150, 299, 511, 512, 699]
TOLERANCE = 1e-5  # of float32 on another machine

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
                 n_positions=1024, embd_pdrop=0.0, resid_pdrop=0.0, attn_pdrop=0.0,
                 bos_token_id=0, eos_token_id=0),
}


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
        scale, offset = (0.5, 1.0) if is_norm_weight(name) else (MATRIX_SCALE, 0.0)
        p.data = torch.tensor(counter_values(name, tuple(p.shape), scale, offset))
    return model


def golden(config):
    model = build(config)
    ids = torch.tensor(counter_ids("tokens", TOKENS, config["vocab_size"]))
    targets = torch.cat((ids[1:], torch.tensor([-100])))
    targets[torch.tensor(counter_ids("masked", TOKENS, 4)) == 0] = -100
    logits = model(ids[None]).logits[0]
    loss = torch.nn.functional.cross_entropy(logits, targets, ignore_index=-100)
    loss.backward()
    return {
        "made_with": f"torch {torch.__version__.split('+')[0]}, "
                     f"transformers {transformers.__version__}, float32",
        "config": {k: v for k, v in config.items() if k != "sliding_window"},
        "window": config.get("sliding_window", 0),
        "tensors": {n: list(p.shape) for n, p in model.named_parameters()},
        "matrix_scale": MATRIX_SCALE,
        "rows": ROWS,
        "logit_stride": LOGIT_STRIDE,
        "logits": [[round(x, 6) for x in logits[r, ::LOGIT_STRIDE].tolist()] for r in ROWS],
        "loss": loss.item(),
        "grad_norms": {n: p.grad.norm().item() for n, p in model.named_parameters()},
    }


def difference(found, stored):
    """The largest of logits, of the loss and, relative to the global norm, of gradient norms."""
    total = sum(norm**2 for norm in stored["grad_norms"].values()) ** 0.5
    return max(
        [abs(found["loss"] - stored["loss"])]
        + [abs(a - b) for x, y in zip(found["logits"], stored["logits"]) for a, b in zip(x, y)]
        + [abs(found["grad_norms"][n] - norm) / total for n, norm in stored["grad_norms"].items()])


def main():
    good = True
    for name, config in CASES.items():
        path = FOLDER / f"{name}.json"
        found = golden(config)
        if "--write" in sys.argv:
            FOLDER.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(found) + "\n")
            print(f"{name}: {path.stat().st_size} bytes, loss {found['loss']:.4f}")
            continue
        worst = difference(found, json.loads(path.read_text()))
        good = good and worst < TOLERANCE
        print(f"{name}: largest difference {worst:.1e}", "ok" if worst < TOLERANCE else "DIFFERS")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
