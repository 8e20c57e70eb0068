#!/usr/bin/env python3
"""The step time that `ashlar plan` predicts beside the one that `ashlar train` then takes.

usage: compare_plan.py [--ashlar build/release/ashlar] [--shapes char-10m,llama-60m] [--rounds 3] [--steps 6]
                       [--text FILE]
Each round plans and trains every layout once, in turns: one rank of two threads, and two ranks of one thread that
share the batch, the matrices or the layers. On a machine with other work the best says most: of the plans, and of
all steps but the first two. Ranks are threads. The bubble of a pipeline is what its ranks
wait for each other, of all steps' time. Target: 25% at most between the two. The tokenizer is learnt from FILE
(default: README.md and docs), which is the data too.
Writes bench/results/plan.md and .json. Exit code 1 when a target is missed.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

from compare_ranks import SHAPES
from compare_train import ROOT, measure

WARM_UP = 2
TARGET = 0.25
LAYOUTS = {
    "one rank": [],
    "2 by data": ["mesh.data=2"],
    "2 by tensor": ["mesh.tensor=2"],
    "2 by pipe": ["mesh.pipe=2", "train.microbatch=1"],
}


def settings(args, work, shape, layout):
    batch, seq, sizes = SHAPES[shape]
    return [*sizes, f"data.tokenizer={work / 'tokenizer.json'}", f"data.train={args.text}", f"train.batch={batch}",
            f"train.seq={seq}", "train.clip=1.0", "valid.every=0", "run.threads=2", *LAYOUTS[layout]]


def plan(args, work, shape, layout):
    found = measure([args.ashlar, "plan", *settings(args, work, shape, layout), "--json"])
    return {"step_s": found["step_s"], "bubble": found["bubble"]}


def train(args, work, shape, layout):
    ranks = ["--ranks", "2"] if LAYOUTS[layout] else []
    with tempfile.TemporaryDirectory(dir=work) as run:
        command = [args.ashlar, "train", *settings(args, work, shape, layout), f"data.cache={work / 'cache'}",
                   f"train.steps={args.steps}", "checkpoint.every=0", "run.tensorboard=false", f"run.dir={run}",
                   *ranks]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
        rows = [json.loads(line) for line in (pathlib.Path(run) / "metrics.jsonl").read_text().splitlines()][WARM_UP:]
    best = min(rows, key=lambda row: row["step_ms"])
    return {"step_s": best["step_ms"] / 1e3, "waiting": sum(best.get("comm_share", {}).values())}


def compare(args, work, shape):
    plans = {layout: [] for layout in LAYOUTS}
    runs = {layout: [] for layout in LAYOUTS}
    for number in range(args.rounds):
        for layout in LAYOUTS:
            plans[layout].append(plan(args, work, shape, layout))
            runs[layout].append(train(args, work, shape, layout))
            print(f"{shape} round {number + 1} {layout}: planned {plans[layout][-1]['step_s']:.3f} s, took "
                  f"{runs[layout][-1]['step_s']:.3f} s", file=sys.stderr, flush=True)
    results = []
    for layout in LAYOUTS:
        planned = min(plans[layout], key=lambda one: one["step_s"])
        ran = min(runs[layout], key=lambda one: one["step_s"])
        results.append({"shape": shape, "layout": layout, "planned_s": planned["step_s"], "took_s": ran["step_s"],
                        "ratio": planned["step_s"] / ran["step_s"], "planned_bubble": planned["bubble"],
                        "waiting": ran["waiting"], "plans": plans[layout], "runs": runs[layout]})
    return results


def write_results(results, machine, args):
    folder = ROOT / "bench" / "results"
    (folder / "plan.json").write_text(json.dumps({"machine": machine, "results": results}, indent=1) + "\n")
    lines = [
        "# Planned and measured steps", "",
        f"{machine['cpu']}, tier {machine['isa']}, Ashlar {machine['version']} {machine['revision']}. Made by `python3 "
        f"bench/compare_plan.py --rounds {args.rounds} --steps {args.steps}`: in turns, the best of {args.rounds} "
        "rounds; f32, ranks are threads of one process.", "",
        f"Target: {100 * TARGET:.0f}% at most between the two.", "",
        "| shape | layout | planned | took | planned / took | bubble planned | waiting |",
        "|---|---|---|---|---|---|---|"]
    for r in results:
        bubble = f"{100 * r['planned_bubble']:.0f}%" if "pipe" in r["layout"] else ""
        lines.append(f"| {r['shape']} | {r['layout']} | {r['planned_s']:.3f} s | {r['took_s']:.3f} s | {r['ratio']:.2f} "
                     f"| {bubble} | {100 * r['waiting']:.0f}% |")
    (folder / "plan.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def main():
    parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    parser.add_argument("--ashlar", default=str(ROOT / "build" / "release" / "ashlar"))
    parser.add_argument("--shapes", default=",".join(SHAPES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--text", default=f"{ROOT / 'README.md'},{ROOT / 'docs'}")
    args = parser.parse_args()
    machine = measure([args.ashlar, "bench", "machine", "--json"])
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        subprocess.run([args.ashlar, "tokenize", "train", *args.text.split(","), "--vocab-size", "257", "-o",
                        str(work / "tokenizer.json")], check=True, capture_output=True)
        results = [row for shape in args.shapes.split(",") for row in compare(args, work, shape)]
    write_results(results, machine, args)
    return 0 if all(abs(r["ratio"] - 1) <= TARGET for r in results) else 1


if __name__ == "__main__":
    sys.exit(main())
