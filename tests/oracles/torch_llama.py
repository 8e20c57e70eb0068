"""A small LLaMA as transformers computes it in float32, at real sizes (width 320, head dim 80, 5
query heads to one key-value head, llama3 rotary scaling, 700 tokens): digest of the logits, loss,
norm of every gradient. Weights come from counter_values by tensor name, so they are not stored.

    ./dev oracles torch_llama        compare with tests/fixtures/goldens/llama_700.json
    ./dev oracles torch_llama --write
"""
import json
import math
import sys

import torch
import transformers

from counter_values import counter_ids, counter_values
from torch_ops import FOLDER, TOKENS, difference, digest

CONFIG = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 1000,
    "hidden_size": 320, "num_hidden_layers": 2, "num_attention_heads": 5, "num_key_value_heads": 1,
    "head_dim": 80, "intermediate_size": 1408, "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-5, "hidden_act": "silu", "tie_word_embeddings": False,
    "attention_bias": False, "mlp_bias": False, "rope_theta": 10000.0,
    "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                     "high_freq_factor": 4.0, "original_max_position_embeddings": 256},
}


def llama():
    model = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(**CONFIG, attn_implementation="eager"))
    with torch.no_grad():
        for name, p in model.named_parameters():
            scale, offset = (0.2, 1) if p.dim() == 1 else (1 / math.sqrt(p.shape[-1]), 0)
            p.copy_(torch.tensor(counter_values(name, tuple(p.shape), scale, offset)))
    return model


def results():
    model = llama()
    tokens = torch.tensor(counter_ids("tokens", TOKENS, CONFIG["vocab_size"]))[None]
    targets = torch.tensor(counter_ids("targets", TOKENS, CONFIG["vocab_size"]))
    targets[torch.tensor(counter_ids("masked", TOKENS, 4)) == 0] = -100
    logits = model(input_ids=tokens).logits[0]
    loss = torch.nn.functional.cross_entropy(logits, targets, ignore_index=-100)
    loss.backward()
    norms = {name: float(p.grad.double().norm()) for name, p in model.named_parameters()}
    return {"values": {"logits": digest(logits)}, "loss": float(loss.detach().double()),
            "gradient_norms": norms}


def main():
    path = FOLDER / "llama_700.json"
    found = results()
    if "--write" in sys.argv:
        versions = f"torch {torch.__version__.split('+')[0]}, transformers {transformers.__version__}"
        path.write_text(json.dumps({"made_with": versions + ", float32", "config": CONFIG} | found)
                        + "\n")
        print(f"llama_700: {path.stat().st_size} bytes, loss {found['loss']}")
        return 0
    stored = json.loads(path.read_text())
    worst = difference(found, {key: stored[key] for key in found})
    print(f"llama_700: largest difference {worst:.1e}", "ok" if worst < 1e-4 else "DIFFERS")
    return 0 if worst < 1e-4 else 1


if __name__ == "__main__":
    sys.exit(main())
