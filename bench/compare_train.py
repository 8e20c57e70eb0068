#!/usr/bin/env python3
"""Training speed of Ashlar and PyTorch, in turns in one run on the same shapes.

usage: compare_train.py [--ashlar build/release/ashlar] [--shapes char-10m,gpt2-124m,llama-60m]
                        [--dtype f32|bf16] [--isa avx2|avx512] [--rounds 3] [--steps 8] [--threads N]
                        [--python PYTHON]
Each round times Ashlar, eager PyTorch and compiled PyTorch once, in turns, so that all meet the same
machine. The ratio is that of the medians over the rounds, against the better of the two PyTorches (> 1: we
are faster). PYTHON is one that has torch; without it a virtual environment is made below build/. --isa: both are held
to the instructions of that tier (PyTorch's compiler alone may use what else the processor has).
Writes bench/results/train-DTYPE-TIER.md (with --isa: TIER-held) and .json with the machine, the commands and every figure.
Exit code 1 when a ratio is below 1.
"""
import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys

import tiers
from oracles_venv import ROOT, python_with_torch

SHAPES = {"char-10m": (12, 256), "gpt2-124m": (4, 256), "llama-60m": (4, 256)}  # batch, seq


def measure(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env={**os.environ, "KMP_BLOCKTIME": "0"})
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def compare(shape, args):
    batch, seq = SHAPES[shape]
    common = ["--shape", shape, "--batch", str(batch), "--seq", str(seq), "--dtype", args.dtype,
              "--steps", str(args.steps), "--threads", str(args.threads)]
    torch = [args.python, str(ROOT / "bench" / "torch_train.py"), *common]
    contestants = {"ashlar": [args.ashlar, "bench", "train", *common, "--json"],
                   "eager": torch, "compiled": [*torch, "--compile"]}
    runs = {name: [] for name in contestants}
    for number in range(args.rounds):
        for name, command in contestants.items():
            runs[name].append(measure(command))
            print(f"{shape} round {number + 1} {name}: {runs[name][-1]['tokens_per_s']:.0f} tokens/s",
                  file=sys.stderr, flush=True)
    rates = {name: [run["tokens_per_s"] for run in results] for name, results in runs.items()}
    medians = {name: statistics.median(values) for name, values in rates.items()}
    return {"shape": shape, "batch": batch, "seq": seq, "dtype": args.dtype,
            "tokens_per_s": rates, "median": medians,
            "ratio": medians["ashlar"] / max(medians["eager"], medians["compiled"]),
            "mfu": statistics.median(run["mfu"] for run in runs["ashlar"]),
            "peak_bytes": max(run["peak_bytes"] for run in runs["ashlar"]),
            "torch": runs["eager"][-1]["torch"], "machine": runs["ashlar"][-1]["machine"]}


def write_results(results, args):
    folder = ROOT / "bench" / "results"
    folder.mkdir(exist_ok=True)
    machine, date = results[0]["machine"], datetime.date.today().isoformat()
    stem = folder / f"train-{args.dtype}-{machine['isa']}{tiers.suffix(args.isa)}"
    stem.with_suffix(".json").write_text(json.dumps({"date": date, "results": results}, indent=1) + "\n")
    probe = machine["probe"]
    lines = [
        f"# Training in {args.dtype}: Ashlar and PyTorch {results[0]['torch']}", "",
        f"{date}, {machine['cpu']}, {probe['threads']} threads, tier {machine['isa']}, Ashlar "
        f"{machine['version']} {machine['revision']}. Probe of the machine: "
        f"{probe['read_bytes_per_s'] / 1e9:.1f} GB/s read, {probe['f32_flops'] / 1e9:.0f} GFLOP/s f32.", "",
        f"Made by `python3 bench/compare_train.py --dtype {args.dtype}{tiers.flag(args.isa)} --rounds {args.rounds} "
        f"--steps {args.steps}`: in turns, {args.rounds} rounds, medians; tokens a second, ratio against the better "
        "PyTorch.", "",
        "| shape | batch x seq | Ashlar | eager | compiled | ratio | MFU | peak |",
        "|---|---|---|---|---|---|---|---|"]
    for result in results:
        median = result["median"]
        lines.append(f"| {result['shape']} | {result['batch']} x {result['seq']} | {median['ashlar']:.0f} | "
                     f"{median['eager']:.0f} | {median['compiled']:.0f} | {result['ratio']:.2f} | "
                     f"{100 * result['mfu']:.0f}% | {result['peak_bytes'] / 1e9:.2f} GB |")
    stem.with_suffix(".md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def main():
    parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter,
                                     description=__doc__)
    parser.add_argument("--ashlar", default=str(ROOT / "build" / "release" / "ashlar"))
    parser.add_argument("--python", default="")
    parser.add_argument("--shapes", default=",".join(SHAPES))
    parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--isa", choices=tiers.HELD, default="")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    args = parser.parse_args()
    tiers.hold(args.isa)
    args.python = args.python or python_with_torch()
    results = [compare(shape, args) for shape in args.shapes.split(",")]
    write_results(results, args)
    return 0 if all(result["ratio"] >= 1 for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
