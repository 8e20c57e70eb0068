#!/usr/bin/env python3
"""What checkpoints cost a run that saves as often as 3.5% of its time allows (checkpoint.every=auto; CheckFreq, Mohan
et al. 2021), against the same run that saves its end alone, in turns.

usage: compare_saves.py [--ashlar build/release/ashlar] [--rounds 12] [--steps 400] [--text FILE]
Each round runs both once, from start to end, tuning included, now the one first, now the other. Rounds are short and
many, and the cost is that of all together: the machine's speed wanders more from one minute to the next than saves
cost. Target: 3.5% on the clock. The tokenizer is learnt from FILE (default: README.md and docs), which is the data too.
Writes bench/results/saves.md. Exit code 1 when the target is missed.
"""
import argparse
import datetime
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

from compare_train import ROOT, measure

TARGET = 0.035
SIZES = ["model.family=gpt2", "model.width=256", "model.layers=4", "model.heads=4", "model.vocab=257", "train.batch=8",
         "train.seq=64"]


def train(args, work, every):
    """One run: its time on the clock and of processors, and the words of the log about its saves."""
    run = tempfile.mkdtemp(dir=work)
    command = [args.ashlar, "train", *SIZES, f"data.train={args.text}", f"data.tokenizer={work / 'tokenizer.json'}",
               f"data.cache={work / 'cache'}", f"train.steps={args.steps}", "valid.every=0", "run.tensorboard=false",
               f"checkpoint.every={every}", "run.peak_flops=1e11", f"run.dir={run}"]
    with (pathlib.Path(run) / "log").open("w+") as log:
        begin = time.monotonic()
        job = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
        _, status, usage = os.wait4(job.pid, 0)
        wall = time.monotonic() - begin
        log.seek(0)
        text = log.read()
    if status != 0:
        sys.exit(f"{' '.join(command)} failed:\n{text[-2000:]}")
    chosen = re.findall(r"event=checkpoint_interval (.*)", text)
    return {"wall": wall, "processor": usage.ru_utime + usage.ru_stime, "chosen": chosen[-1] if chosen else ""}


def main():
    parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    parser.add_argument("--ashlar", default=str(ROOT / "build" / "release" / "ashlar"))
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--text", default=f"{ROOT / 'README.md'},{ROOT / 'docs'}")
    args = parser.parse_args()
    machine = measure([args.ashlar, "bench", "machine", "--json"])
    rounds = []
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        subprocess.run([args.ashlar, "tokenize", "train", *args.text.split(","), "--vocab-size", "257", "-o",
                        str(work / "tokenizer.json")], check=True, capture_output=True)
        train(args, work, 0)  # makes the cache of tokens
        for number in range(args.rounds):
            order = [0, "auto"] if number % 2 == 0 else ["auto", 0]
            ran = {every: train(args, work, every) for every in order}
            plain, saving = ran[0], ran["auto"]
            rounds.append((plain, saving))
            print(f"round {number + 1}: {plain['wall']:.1f} s, with saves {saving['wall']:.1f} s; {saving['chosen']}",
                  file=sys.stderr, flush=True)
    cost = {key: sum(saving[key] for _, saving in rounds) / sum(plain[key] for plain, _ in rounds) - 1
            for key in ("wall", "processor")}
    middle = statistics.median(saving["wall"] / plain["wall"] - 1 for plain, saving in rounds)
    lines = [
        "# What checkpoints cost", "",
        f"{machine['cpu']}, tier {machine['isa']}, Ashlar {machine['version']} {machine['revision']}, "
        f"{datetime.date.today():%d %B %Y}. Made by `python3 bench/compare_saves.py --rounds {args.rounds} --steps "
        f"{args.steps}`: whole runs in turns, with `checkpoint.every=auto` and without saves but the last. Saves "
        f"cost {100 * cost['wall']:.1f}% on the clock (the median round {100 * middle:.1f}%) and "
        f"{100 * cost['processor']:.1f}% of processor time; the target is 3.5% on the clock.", "",
        "| without, s | with saves, s | cost | decided |", "|---|---|---|---|"]
    lines += [f"| {plain['wall']:.1f} | {saving['wall']:.1f} | {100 * (saving['wall'] / plain['wall'] - 1):.1f}% | "
              f"{saving['chosen']} |" for plain, saving in rounds]
    (ROOT / "bench" / "results" / "saves.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    return 0 if cost["wall"] <= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
