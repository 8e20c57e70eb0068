#!/usr/bin/env python3
"""Training over two processes of one thread: against one process of two threads, and against PyTorch's
DistributedDataParallel over gloo, in turns in one run on the same shapes and the same global batch.

usage: compare_ranks.py [--ashlar build/release/ashlar] [--shapes char-10m,llama-60m] [--rounds 3] [--steps 12]
                        [--text FILE] [--python PYTHON]
Each round runs `ashlar train` as one process, `ashlar train --mpi 2 mesh.data=2` and torchrun with two processes
once each; a run's figure is that of its median step, the first four left out. Targets: two processes at 0.95 of
one, less than 5% of a step spent waiting for the other, 1.3 times PyTorch. The tokenizer is learnt from FILE
(default: README.md and docs), which is the data too. PYTHON has torch; without it a virtual environment is made.
Writes bench/results/ranks.md and .json. Exit code 1 when a target is missed.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

from compare_train import measure
from oracles_venv import ROOT, python_with_torch

WARM_UP = 4
# batch, seq, and the sizes; a vocabulary of 65 takes a tokenizer of characters, the nearest of bytes has 257.
SHAPES = {
    "char-10m": (12, 256, ["model.family=gpt2", "model.width=384", "model.layers=6", "model.heads=6",
                           "model.ffn=1536", "model.vocab=257"]),
    "llama-60m": (4, 256, ["model.family=llama", "model.width=512", "model.layers=12", "model.heads=8",
                           "model.kv_heads=4", "model.ffn=1408", "model.vocab=32000", "model.tied=false"]),
}
TARGETS = {"scaling": 0.95, "exposed": 0.05, "torch": 1.3}


def train(args, work, shape, extra):
    """One run of ours: tokens/s and share of waiting of its median step."""
    batch, seq, sizes = SHAPES[shape]
    run = tempfile.mkdtemp(dir=work)
    command = [args.ashlar, "train", *sizes, f"data.train={args.text}", f"data.tokenizer={work / 'tokenizer.json'}",
               f"data.cache={work / 'cache'}", f"train.batch={batch}", f"train.seq={seq}",
               f"train.steps={args.steps}", "train.clip=1.0", "checkpoint.every=0", "valid.every=0",
               "run.tensorboard=false", f"run.dir={run}", *extra]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    rows = [json.loads(line) for line in (pathlib.Path(run) / "metrics.jsonl").read_text().splitlines()][WARM_UP:]
    waits = [sum(row.get("comm_share", {}).values()) for row in rows]
    return {"tokens_per_s": batch * seq / (statistics.median(row["step_ms"] for row in rows) / 1e3),
            "exposed": statistics.median(waits), "command": " ".join(command[1:])}


def compare(args, work, shape):
    batch, seq, _ = SHAPES[shape]
    torch = [args.python, "-m", "torch.distributed.run", "--nproc-per-node", "2",
             str(ROOT / "bench" / "torch_train.py"), "--ddp", "--shape", shape, "--batch", str(batch), "--seq",
             str(seq), "--threads", "1", "--steps", str(args.steps)]
    contestants = {
        "one process": lambda: train(args, work, shape, ["run.threads=2"]),
        "two processes": lambda: train(args, work, shape, ["run.threads=2", "mesh.data=2", "--mpi", "2"]),
        "torch DDP": lambda: measure(torch)}
    runs = {name: [] for name in contestants}
    for number in range(args.rounds):
        for name, run in contestants.items():
            runs[name].append(run())
            print(f"{shape} round {number + 1} {name}: {runs[name][-1]['tokens_per_s']:.0f} tokens/s",
                  file=sys.stderr, flush=True)
    median = {name: statistics.median(r["tokens_per_s"] for r in found) for name, found in runs.items()}
    return {"shape": shape, "batch": batch, "seq": seq, "median": median,
            "tokens_per_s": {name: [r["tokens_per_s"] for r in found] for name, found in runs.items()},
            "scaling": median["two processes"] / median["one process"],
            "torch": median["two processes"] / median["torch DDP"],
            "exposed": statistics.median(r["exposed"] for r in runs["two processes"]),
            "torch_version": runs["torch DDP"][-1]["torch"]}


def write_results(results, machine, args):
    folder = ROOT / "bench" / "results"
    (folder / "ranks.json").write_text(json.dumps({"machine": machine, "results": results}, indent=1) + "\n")
    lines = [
        "# Two ranks on one machine", "",
        f"{machine['cpu']}, tier {machine['isa']}, Ashlar {machine['version']} {machine['revision']}, PyTorch "
        f"{results[0]['torch_version']}. Made by `python3 bench/compare_ranks.py --rounds {args.rounds} --steps "
        f"{args.steps}`: in turns, {args.rounds} rounds, medians; f32, tokens a second of the same global batch.", "",
        "Targets: two processes of one thread at 0.95 of one process of two; less than 5% of a step waiting for the "
        "other rank; 1.3 times DDP.", "",
        "| shape | batch x seq | one process, two threads | two processes | scaling | waiting | torch DDP, gloo | ratio |",
        "|---|---|---|---|---|---|---|---|"]
    for r in results:
        m = r["median"]
        lines.append(f"| {r['shape']} | {r['batch']} x {r['seq']} | {m['one process']:.0f} | {m['two processes']:.0f} | "
                     f"{r['scaling']:.2f} | {100 * r['exposed']:.1f}% | {m['torch DDP']:.0f} | {r['torch']:.2f} |")
    (folder / "ranks.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def main():
    parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    parser.add_argument("--ashlar", default=str(ROOT / "build" / "release" / "ashlar"))
    parser.add_argument("--python", default="")
    parser.add_argument("--shapes", default=",".join(SHAPES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--text", default=f"{ROOT / 'README.md'},{ROOT / 'docs'}")
    args = parser.parse_args()
    args.python = args.python or python_with_torch()
    machine = measure([args.ashlar, "bench", "machine", "--json"])
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        subprocess.run([args.ashlar, "tokenize", "train", *args.text.split(","), "--vocab-size", "257", "-o",
                        str(work / "tokenizer.json")], check=True, capture_output=True)
        results = [compare(args, work, shape) for shape in args.shapes.split(",")]
    write_results(results, machine, args)
    good = all(r["scaling"] >= TARGETS["scaling"] and r["exposed"] < TARGETS["exposed"] and r["torch"] >= TARGETS["torch"]
               for r in results)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
