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
from family_draws import DECODERS, ENCODERS, Draw
from family_folders import tensors_of

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
ASHLAR = os.environ.get("ASHLAR_BINARY", str(ROOT / "build" / "release" / "ashlar"))
TOLERANCE = 1e-4


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


def compare(kind, keys, seed, folder, as_drawn):
    """(what came of it, detail) for a config.json of these keys; as_drawn: written as it is, or as
    transformers writes it."""
    torch.manual_seed(seed)
    text = {"model_type": kind} | keys
    (folder / "config.json").write_text(json.dumps(text))
    try:
        config = transformers.AutoConfig.from_pretrained(
            folder, attn_implementation="sdpa" if kind == "falcon" else "eager")
        auto = transformers.AutoModelForMaskedLM if kind in ENCODERS else \
            transformers.AutoModelForCausalLM
        model = auto.from_config(config, dtype=torch.float32).eval()
        fill(model, kind.startswith("gemma"))
        golden = (encoder_golden if kind in ENCODERS else decoder_golden)
        # Saved before training changes it.
        save(model, keys, kind, folder, as_drawn)
        with safe_open(folder / "model.safetensors", "pt") as file:
            names = set(file.keys())
        (folder / "golden.json").write_text(json.dumps(golden(model, kind, names)))
    except Exception as error:
        return "transformers refuses", f"{type(error).__name__}: {str(error)[:150]}"
    return verify(folder)


def attempt(kind, seed, folder):
    """(what came of it, detail, keys)"""
    d = Draw(f"{kind} {seed}")
    (DECODERS | ENCODERS)[kind](d)
    as_drawn = d.maybe(0.6)
    return *compare(kind, d.keys, seed, folder, as_drawn), d.keys


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
