#!/usr/bin/env python3
"""From launch to the first token, and the memory that takes, beside llama.cpp on the same GGUF file, in turns.

usage: compare_start.py [--ashlar build/release/ashlar] [--model tinyllama-1.1b] [--format q8_0] [--rounds 5]
Ashlar's time is that of the whole process `ashlar run MODEL --ids 1 --max-new 1`, its end included. llama.cpp's begins
when the Python interpreter runs, so that Python's own start is not counted. The file lies in the page cache for both.
Memory is the resident peak; what is wanted is 1.10 times the tensors' bytes and the keys and values'.
Writes bench/results/start.md. Exit code 1 when Ashlar is the slower one or takes more memory than that.
"""
import argparse
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

from compare_infer import PEERS, ROOT, llamacpp_build, run, venv
from compare_train import measure

MEMORY = 1.10


def launch(command):
    begin = time.monotonic()
    job = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(job.pid, 0)
    if status != 0:
        sys.exit(f"{' '.join(map(str, command))} failed")
    return time.monotonic() - begin, 1024 * usage.ru_maxrss


def main():
    parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    parser.add_argument("--ashlar", default=str(ROOT / "build" / "release" / "ashlar"))
    parser.add_argument("--model", default="tinyllama-1.1b")
    parser.add_argument("--format", default="q8_0")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    python = venv("llamacpp", llamacpp_build()) / "python"
    run([python, ROOT / "bench" / "peers" / "write_model.py", args.model, PEERS / args.model, "--gguf", args.format])
    file = PEERS / args.model / f"model-{args.format}.gguf"
    machine = measure([args.ashlar, "bench", "machine", "--json"])
    shown = json.loads(run([args.ashlar, "inspect", file, "--context", 512, "--json"]))
    bound = MEMORY * (shown["weights"]["bytes"] + shown["memory"]["cache_bytes"])

    ours, theirs, peaks = [], [], []
    launch([args.ashlar, "run", file, "--ids", "1", "--max-new", "1", "--context", "512"])  # fills the page cache
    for number in range(args.rounds):
        seconds, peak = launch([args.ashlar, "run", file, "--ids", "1", "--max-new", "1", "--context", "512"])
        peer = json.loads(run([python, ROOT / "bench" / "peers" / "llamacpp_infer.py", file, "--prefill", 8, "--decode", 1,
                               "--rounds", 1]).strip().splitlines()[-1])
        ours.append(seconds), theirs.append(peer["first_token_s"]), peaks.append(peak)
        print(f"round {number + 1}: {seconds:.2f} s, llama.cpp {peer['first_token_s']:.2f} s", file=sys.stderr, flush=True)
    ratio = statistics.median(theirs) / statistics.median(ours)
    lines = [
        "# From launch to the first token", "",
        f"{machine['cpu']}, tier {machine['isa']}, Ashlar {machine['version']} {machine['revision']}, "
        f"{datetime.date.today():%d %B %Y}. Made by `python3 bench/compare_start.py --model {args.model} --format "
        f"{args.format} --rounds {args.rounds}`: in turns, the page cache warm. The target is to be no slower than "
        f"llama.cpp, and a resident peak of {MEMORY:.2f} times tensors, keys and values.", "",
        "| model | Ashlar, s | llama.cpp, s | ratio | Ashlar's peak | wanted |", "|---|---|---|---|---|---|",
        f"| {args.model} {args.format} | {statistics.median(ours):.2f} | {statistics.median(theirs):.2f} | {ratio:.2f} | "
        f"{max(peaks) / 1e6:.0f} MB | {bound / 1e6:.0f} MB |"]
    (ROOT / "bench" / "results" / "start.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    return 0 if ratio >= 1 and max(peaks) <= bound else 1


if __name__ == "__main__":
    sys.exit(main())
