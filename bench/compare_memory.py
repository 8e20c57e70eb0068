#!/usr/bin/env python3
"""The resident peak of training steps, beside eager PyTorch's on the same shape.

usage: compare_memory.py [--ashlar build/release/ashlar] [--shapes gpt2-124m,...] [--dtypes f32,bf16] [--python PYTHON]
What is wanted is 0.7 of PyTorch's for gpt2-124m in f32. What Ashlar planned before it ran stands beside what it took.
PYTHON is one that has torch; without it a virtual environment is made below build/.
Writes bench/results/memory-TIER.md. Exit code 1 when the target is missed.
"""
import argparse
import datetime
import sys

from compare_train import SHAPES, measure
from oracles_venv import ROOT, python_with_torch

TARGET, TARGET_SHAPE = 0.7, ("gpt2-124m", "f32")


def main():
    parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    parser.add_argument("--ashlar", default=str(ROOT / "build" / "release" / "ashlar"))
    parser.add_argument("--shapes", default=",".join(SHAPES))
    parser.add_argument("--dtypes", default="f32,bf16")
    parser.add_argument("--python", default="")
    args = parser.parse_args()
    args.python = args.python or python_with_torch()
    rows, met = [], True
    for shape in args.shapes.split(","):
        for dtype in args.dtypes.split(","):
            batch, seq = SHAPES[shape]
            common = ["--shape", shape, "--batch", str(batch), "--seq", str(seq), "--dtype", dtype, "--steps", "4"]
            ours = measure([args.ashlar, "bench", "train", *common, "--json"])
            theirs = measure([args.python, str(ROOT / "bench" / "torch_train.py"), *common])
            ratio = ours["peak_bytes"] / theirs["peak_bytes"]
            if (shape, dtype) == TARGET_SHAPE:
                met = ratio <= TARGET
            rows.append(f"| {shape} | {batch} x {seq} | {dtype} | {ours['planned_bytes'] / 1e9:.2f} | "
                        f"{ours['peak_bytes'] / 1e9:.2f} | {theirs['peak_bytes'] / 1e9:.2f} | {ratio:.2f} |")
            print(rows[-1], file=sys.stderr, flush=True)
    machine = ours["machine"]
    lines = [
        "# The memory of training", "",
        f"{machine['cpu']}, tier {machine['isa']}, Ashlar {machine['version']} {machine['revision']}, PyTorch "
        f"{theirs['torch']}, {datetime.date.today():%d %B %Y}. Made by `python3 bench/compare_memory.py --dtypes {args.dtypes}`: "
        f"resident peaks in GB, PyTorch eager (bf16: autocast). Wanted: {TARGET} of PyTorch's for {TARGET_SHAPE[0]} in "
        f"{TARGET_SHAPE[1]}.", "",
        "| shape | batch x seq | dtype | planned | Ashlar | PyTorch | ratio |", "|---|---|---|---|---|---|---|", *rows]
    (ROOT / "bench" / "results" / f"memory-{machine['isa']}.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
