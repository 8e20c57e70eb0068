"""Digests of what PyTorch computes for our ops and blocks, forward and backward, in float64, at
sizes that reach real tiles and tails: tests/fixtures/goldens/NAME.json. Inputs come from
counter_values, so they are not stored; tests/graph/torch_goldens_test.cc makes the same ones.

    ./dev oracles torch_ops            compare with the stored digests
    ./dev oracles torch_ops --write    renew them
    ./dev oracles torch_ops rope_llama3 --write    one case
"""
import json
import math
import pathlib
import sys
import unittest.mock

import numpy as np
import torch
import torch.nn.functional as F

from counter_values import counter_ids, counter_values

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "goldens"
WIDTH, HEADS, KV_HEADS, HEAD_DIM, TOKENS, FFN = 320, 5, 1, 80, 700, 1408
SAMPLES, ENDS = 64, 8


def tensor(name, *shape, scale=1.0, offset=0.0):
    """A float64 leaf with the bits of a float32 array."""
    return torch.tensor(counter_values(name, shape, scale, offset), dtype=torch.float64,
                        requires_grad=True)


def weight(name, *shape):
    """Uniform, of variance 1 / (3 inputs)."""
    return tensor(name, *shape, scale=1 / math.sqrt(shape[-1]))


def digest(x):
    flat = x.detach().to(torch.float64).flatten().numpy()
    stride = max(1, len(flat) // SAMPLES)
    return {
        "shape": list(x.shape),
        "norm": float(np.sqrt(np.sum(flat * flat))),
        "first": flat[:ENDS].tolist(),
        "last": flat[-ENDS:].tolist(),
        "stride": stride,
        "sample": flat[::stride][:SAMPLES].tolist(),
    }


def backward(y, leaves, seed="d_y"):
    """Digests of y and of the gradients of `leaves` when y's gradient is counter_values("d_y")."""
    d_y = torch.tensor(counter_values(seed, tuple(y.shape)), dtype=torch.float64)
    gradients = torch.autograd.grad(y, list(leaves.values()), d_y)
    return {"y": digest(y)} | {"d_" + name: digest(g) for name, g in zip(leaves, gradients)}


def document_mask(lengths, window=0):
    """[T, T], true where a query (row) sees a key: its own document, no later key, the window."""
    document = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    place = torch.arange(sum(lengths))
    distance = place[:, None] - place[None, :]
    mask = (document[:, None] == document[None, :]) & (distance >= 0)
    return mask & (distance < window) if window else mask


def attention(q, k, v, mask, softcap=0.0, heads=HEADS, kv_heads=KV_HEADS, dim=HEAD_DIM):
    """q [T, H*D], k and v [T, K*D] -> [T, H*D]."""
    q = q.view(-1, heads, dim).transpose(0, 1)
    k, v = (x.view(-1, kv_heads, dim).transpose(0, 1).repeat_interleave(heads // kv_heads, 0)
            for x in (k, v))
    scale = float(np.float32(1 / math.sqrt(dim)))  # the f32 number that ops carry
    if softcap:
        scores = softcap * torch.tanh(q @ k.transpose(1, 2) * scale / softcap)
        out = torch.softmax(scores.masked_fill(~mask, -math.inf), -1) @ v
    else:
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)
    return out.transpose(0, 1).reshape(-1, heads * dim)


def full_attention_case():
    """Every key of the sequence is seen, later ones too."""
    leaves = {"q": tensor("q", TOKENS, HEADS * HEAD_DIM), "k": tensor("k", TOKENS, HEAD_DIM),
              "v": tensor("v", TOKENS, HEAD_DIM)}
    return backward(attention(*leaves.values(), torch.ones(TOKENS, TOKENS, dtype=bool)), leaves)


def attention_case(lengths, window=0, softcap=0.0, heads=HEADS, kv_heads=KV_HEADS, dim=HEAD_DIM):
    leaves = {"q": tensor("q", TOKENS, heads * dim), "k": tensor("k", TOKENS, kv_heads * dim),
              "v": tensor("v", TOKENS, kv_heads * dim)}
    y = attention(*leaves.values(), document_mask(lengths, window), softcap, heads, kv_heads, dim)
    return backward(y, leaves)


def linear_case():
    leaves = {"x": tensor("x", TOKENS, WIDTH), "w": weight("w", FFN, WIDTH),
              "bias": tensor("bias", FFN), "residual": tensor("residual", TOKENS, FFN)}
    y = F.linear(leaves["x"], leaves["w"], leaves["bias"]) + leaves["residual"]
    # The residual's gradient is d_y itself.
    return backward(y, {name: leaves[name] for name in ("x", "w", "bias")})


def low_rank_linear_case(rank=16):
    """x W^T + (x A^T) B^T, as adapters have it."""
    leaves = {"x": tensor("x", TOKENS, WIDTH), "w": weight("w", FFN, WIDTH),
              "a": weight("a", rank, WIDTH), "b": weight("b", FFN, rank)}
    x, w, a, b = leaves.values()
    return backward(F.linear(x, w) + F.linear(F.linear(x, a), b), leaves)


def linear_gelu_case():
    """An epilogue with all it can hold: gelu(x W^T + bias) + residual. Forward only."""
    x, w, bias = tensor("x", TOKENS, WIDTH), weight("w", FFN, WIDTH), tensor("bias", FFN)
    return {"y": digest(F.gelu(F.linear(x, w, bias)) + tensor("residual", TOKENS, FFN))}


def add_case():
    return {"y": digest(tensor("a", TOKENS, WIDTH) + tensor("c", TOKENS, WIDTH))}


def cast_case():
    """Rounding to bfloat16, to nearest and to even."""
    x = torch.tensor(counter_values("x", (TOKENS, WIDTH), 3.0))
    return {"y": digest(x.bfloat16())}


def norm_case(layer):
    leaves = {"x": tensor("x", TOKENS, WIDTH), "w": tensor("w", WIDTH)}
    if layer:
        leaves["bias"] = tensor("bias", WIDTH)
        y = F.layer_norm(leaves["x"], (WIDTH,), leaves["w"], leaves["bias"], 1e-5)
    else:
        y = F.rms_norm(leaves["x"], (WIDTH,), leaves["w"], 1e-5)
    return backward(y, leaves)


LLAMA3_ROPE = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
               "high_freq_factor": 4.0, "original_max_position_embeddings": 256}


def llama3_frequencies(dim=HEAD_DIM, theta=10000.0, scaling=None):
    """The frequencies of Llama 3.1's long contexts, in float64."""
    s = scaling or LLAMA3_ROPE
    f = theta ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    wavelength = 2 * math.pi / f
    old = s["original_max_position_embeddings"]
    smooth = (old / wavelength - s["low_freq_factor"]) / (
        s["high_freq_factor"] - s["low_freq_factor"])
    blend = (1 - smooth) * f / s["factor"] + smooth * f
    f_scaled = torch.where(wavelength > old / s["low_freq_factor"], f / s["factor"], f)
    middle = (wavelength >= old / s["high_freq_factor"]) & (
        wavelength <= old / s["low_freq_factor"])
    return torch.where(middle, blend, f_scaled)


def rope_table(frequencies):
    """cos and sin [T, D/2] in float32, as ops read them, widened again."""
    angle = torch.arange(TOKENS, dtype=torch.float64)[:, None] * frequencies
    return angle.cos().float().double(), angle.sin().float().double()


def rope(x, table, heads, dim=HEAD_DIM):
    """Rotates halves: the pairs are (i, i + D/2)."""
    cos, sin = (t[:, None, :] for t in table)
    a, b = x.view(-1, heads, dim).chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1).reshape(x.shape)


def rope_case():
    leaves = {"x": tensor("x", TOKENS, HEADS * HEAD_DIM)}
    return backward(rope(leaves["x"], rope_table(llama3_frequencies()), HEADS), leaves)


def interleaved_rope_case(rotary=64):
    """The pairs are (2i, 2i+1); the last channels of a head stay."""
    leaves = {"x": tensor("x", TOKENS, HEADS * HEAD_DIM)}
    x = leaves["x"].view(-1, HEADS, HEAD_DIM)
    f = 10000.0 ** (-torch.arange(0, rotary, 2, dtype=torch.float64) / rotary)
    cos, sin = (t[:, None, :] for t in rope_table(f))
    a, b = x[..., 0:rotary:2], x[..., 1:rotary:2]
    turned = torch.stack((a * cos - b * sin, b * cos + a * sin), -1).flatten(-2)
    y = torch.cat((turned, x[..., rotary:]), -1).reshape(leaves["x"].shape)
    return backward(y, leaves)


def activation_case(f):
    leaves = {"x": tensor("x", TOKENS, FFN, scale=6)}
    return backward(f(leaves["x"]), leaves)


def gated_case(f):
    leaves = {"gate": tensor("gate", TOKENS, FFN, scale=6), "up": tensor("up", TOKENS, FFN)}
    return backward(f(leaves["gate"]) * leaves["up"], leaves)


def position_embedding_case():
    """Rows of a table on top of an addend, whose gradient is d_y itself."""
    table = tensor("table", 1024, WIDTH)
    ids = torch.arange(TOKENS) % 300
    return backward(F.embedding(ids, table) + tensor("addend", TOKENS, WIDTH), {"table": table})


def embedding_case():
    leaves = {"table": tensor("table", 5000, WIDTH)}
    ids = torch.tensor(counter_ids("ids", TOKENS, 50))  # ids repeat
    return backward(F.embedding(ids, leaves["table"]), leaves)


def loss_case():
    rows, vocab = 33, 32000
    leaves = {"x": tensor("x", rows, WIDTH), "w": weight("w", vocab, WIDTH)}
    targets = torch.tensor(counter_ids("targets", rows, vocab))
    targets[torch.tensor(counter_ids("masked", rows, 4)) == 0] = -100
    y = F.cross_entropy(F.linear(leaves["x"], leaves["w"]), targets, ignore_index=-100)
    gradients = torch.autograd.grad(y, list(leaves.values()))
    return {"y": digest(y.view(1))} | {
        "d_" + name: digest(g) for name, g in zip(leaves, gradients)}


def adamw_case():
    """Five steps, gradients scaled to a total norm of 1 where they are larger."""
    params = {"a": tensor("a", 37, WIDTH), "b": tensor("b", WIDTH)}
    options = {"lr": 0.01, "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.1}
    # The op's lr is an f32 input.
    optimizer = torch.optim.AdamW(params.values(), **options | {"lr": float(np.float32(0.01))})
    norms = []
    for step in range(1, 6):
        for name, p in params.items():
            g = counter_values(f"{name}.grad.{step}", tuple(p.shape), 0.01 if step < 3 else 1.0)
            p.grad = torch.tensor(g, dtype=torch.float64)
        norms.append(float(torch.nn.utils.clip_grad_norm_(params.values(), 1.0)))
        optimizer.step()
    result = {"norms": digest(torch.tensor(norms, dtype=torch.float64))}
    for name, p in params.items():
        state = optimizer.state[p]
        result |= {name: digest(p), name + ".m": digest(state["exp_avg"]),
                   name + ".v": digest(state["exp_avg_sq"])}
    return result


def muon_case():
    """Five steps of a wide and a tall matrix. PyTorch's Newton-Schulz iteration rounds to bfloat16;
    here it runs in float64."""
    params = {"wide": tensor("wide", 40, WIDTH, scale=0.1),
              "tall": tensor("tall", WIDTH, 33, scale=0.1)}
    optimizer = torch.optim.Muon(
        params.values(), lr=float(np.float32(0.02)), weight_decay=0.1, momentum=0.95,
        nesterov=True, ns_steps=5, adjust_lr_fn="match_rms_adamw")
    with unittest.mock.patch.object(torch, "bfloat16", torch.float64):
        for step in range(1, 6):
            for name, p in params.items():
                p.grad = torch.tensor(counter_values(f"{name}.grad.{step}", tuple(p.shape)),
                                      dtype=torch.float64)
            optimizer.step()
    result = {name: digest(p) for name, p in params.items()}
    return result | {name + ".m": digest(optimizer.state[p]["momentum_buffer"])
                     for name, p in params.items()}


def llama_block():
    """x + o(attention(rope(q), rope(k), v)), then + down(silu(gate) * up); RMS norms in front."""
    x = tensor("x", TOKENS, WIDTH)
    kv, q = KV_HEADS * HEAD_DIM, HEADS * HEAD_DIM
    p = {"norm1.weight": tensor("norm1.weight", WIDTH, scale=0.2, offset=1),
         "q.weight": weight("q.weight", q, WIDTH), "k.weight": weight("k.weight", kv, WIDTH),
         "v.weight": weight("v.weight", kv, WIDTH), "o.weight": weight("o.weight", WIDTH, q),
         "norm2.weight": tensor("norm2.weight", WIDTH, scale=0.2, offset=1),
         "gate.weight": weight("gate.weight", FFN, WIDTH),
         "up.weight": weight("up.weight", FFN, WIDTH),
         "down.weight": weight("down.weight", WIDTH, FFN)}
    table = rope_table(llama3_frequencies())
    h = F.rms_norm(x, (WIDTH,), p["norm1.weight"], 1e-5)
    out = attention(rope(F.linear(h, p["q.weight"]), table, HEADS),
                    rope(F.linear(h, p["k.weight"]), table, KV_HEADS),
                    F.linear(h, p["v.weight"]), document_mask([TOKENS]))
    middle = x + F.linear(out, p["o.weight"])
    h = F.rms_norm(middle, (WIDTH,), p["norm2.weight"], 1e-5)
    inner = F.silu(F.linear(h, p["gate.weight"])) * F.linear(h, p["up.weight"])
    return backward(middle + F.linear(inner, p["down.weight"]), {"x": x} | p)


def gpt2_block():
    """Layer norms, biases everywhere, GELU (tanh), 4 heads of 80 that share nothing."""
    x = tensor("x", TOKENS, WIDTH)
    p = {}
    for name in ("norm1", "norm2"):
        p[name + ".weight"] = tensor(name + ".weight", WIDTH, scale=0.2, offset=1)
        p[name + ".bias"] = tensor(name + ".bias", WIDTH, scale=0.1)
    for name, n, k in (("q", WIDTH, WIDTH), ("k", WIDTH, WIDTH), ("v", WIDTH, WIDTH),
                       ("o", WIDTH, WIDTH), ("up", 4 * WIDTH, WIDTH), ("down", WIDTH, 4 * WIDTH)):
        p[name + ".weight"] = weight(name + ".weight", n, k)
        p[name + ".bias"] = tensor(name + ".bias", n, scale=0.1)
    def project(h, name):
        return F.linear(h, p[name + ".weight"], p[name + ".bias"])
    def norm(h, name):
        return F.layer_norm(h, (WIDTH,), p[name + ".weight"], p[name + ".bias"], 1e-5)
    h = norm(x, "norm1")
    out = attention(project(h, "q"), project(h, "k"), project(h, "v"),
                    document_mask([300, 400]), heads=4, kv_heads=4)
    middle = x + project(out, "o")
    inner = F.gelu(project(norm(middle, "norm2"), "up"), approximate="tanh")
    # A key's bias shifts all scores of a row alike: its gradient is zero.
    leaves = {name: leaf for name, leaf in p.items() if name != "k.bias"}
    return backward(middle + project(inner, "down"), {"x": x} | leaves)


CASES = {
    "attention_causal": lambda: attention_case([TOKENS]),
    "attention_window": lambda: attention_case([TOKENS], window=100),
    "attention_documents": lambda: attention_case([1, 63, 64, 65, 200, 307], window=150),
    "attention_softcap": lambda: attention_case([TOKENS], softcap=20.0),
    "attention_4_heads": lambda: attention_case([TOKENS], heads=4, kv_heads=4),
    "attention_full": full_attention_case,
    "add": add_case,
    "cast": cast_case,
    "linear": linear_case,
    "linear_low_rank": low_rank_linear_case,
    "linear_gelu": linear_gelu_case,
    "rms_norm": lambda: norm_case(False),
    "layer_norm": lambda: norm_case(True),
    "rope_llama3": rope_case,
    "rope_interleaved": interleaved_rope_case,
    "gelu": lambda: activation_case(F.gelu),
    "gelu_tanh": lambda: activation_case(lambda x: F.gelu(x, approximate="tanh")),
    "silu": lambda: activation_case(F.silu),
    "relu": lambda: activation_case(F.relu),
    "swiglu": lambda: gated_case(F.silu),
    "geglu": lambda: gated_case(lambda x: F.gelu(x, approximate="tanh")),
    "embedding": embedding_case,
    "position_embedding": position_embedding_case,
    "loss": loss_case,
    "adamw": adamw_case,
    "muon": muon_case,
    "llama_block": llama_block,
    "gpt2_block": gpt2_block,
}


def difference(a, b):
    """The largest relative difference of two digests."""
    if isinstance(a, dict):
        return max((difference(a[key], b[key]) for key in a), default=0.0)
    a, b = np.atleast_1d(np.asarray(a, float)), np.atleast_1d(np.asarray(b, float))
    return float(np.max(np.abs(a - b)) / max(np.max(np.abs(b)), 1e-300)) if a.size else 0.0


def store(name, results, write, made_with):
    """Writes one golden, or compares it with the one stored; true when all is well."""
    path = FOLDER / f"{name}.json"
    if write:
        FOLDER.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"made_with": made_with} | results) + "\n")
        print(f"{name}: {path.stat().st_size} bytes")
        return True
    worst = difference(results, json.loads(path.read_text()))
    print(f"{name}: largest difference {worst:.1e}", "ok" if worst < 1e-9 else "DIFFERS")
    return worst < 1e-9


def main():
    made_with = f"torch {torch.__version__.split('+')[0]}, float64"
    chosen = [name for name in sys.argv[1:] if name != "--write"] or list(CASES)
    good = [store(name, {"values": CASES[name]()}, "--write" in sys.argv, made_with)
            for name in chosen]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
