#!/usr/bin/env python3
"""What a second thread brings, to training and to serving, against what it brings to the probe of the machine.

usage: compare_scaling.py [--ashlar build/release/ashlar] [--model build/peers/llama-160m/model-q8_0.gguf] [--rounds 3]
Each round runs everything on one thread and on two, in turns; every run probes the machine with as many threads. Work
bound by arithmetic is held against the probe's arithmetic, decoding against its reading of memory. Wanted: 0.9 of the
probe's own ratio. Writes bench/results/scaling.md. Exit code 1 when one misses it.
"""
import argparse
import datetime
import statistics
import sys

from compare_train import ROOT, measure

TARGET = 0.9


def works(args):
    infer = [args.ashlar, "bench", "infer", args.model, "--json", "--prefill"]
    train = [args.ashlar, "bench", "train", "--batch", "4", "--seq", "256", "--steps", "6", "--json", "--shape"]
    return {  # the command, what it counts, what of the probe bounds it
        "train char-10m, f32": ([*train, "char-10m"], "tokens_per_s", "f32_flops"),
        "train llama-60m, f32": ([*train, "llama-60m"], "tokens_per_s", "f32_flops"),
        "prefill 512": ([*infer, "512", "--decode", "2"], "prefill_tokens_per_s", "int8_ops"),
        "decode 1": ([*infer, "128", "--decode", "64"], "decode_tokens_per_s", "read_bytes_per_s"),
        "decode 8": ([*infer, "128", "--decode", "32", "--batch", "8"], "decode_tokens_per_s", "read_bytes_per_s"),
    }


def main():
    parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    parser.add_argument("--ashlar", default=str(ROOT / "build" / "release" / "ashlar"))
    parser.add_argument("--model", default=str(ROOT / "build" / "peers" / "llama-160m" / "model-q8_0.gguf"))
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    ran = {name: {1: [], 2: []} for name in works(args)}
    for number in range(args.rounds):
        for name, (command, field, bound) in works(args).items():
            for threads in (1, 2) if number % 2 == 0 else (2, 1):
                result = measure([*command, "--threads", str(threads)])
                ran[name][threads].append((result[field], result["machine"]["probe"][bound]))
                machine = result["machine"]
        print(f"round {number + 1} of {args.rounds}", file=sys.stderr, flush=True)
    lines = [
        "# A second thread", "",
        f"{machine['cpu']}, tier {machine['isa']}, Ashlar {machine['version']} {machine['revision']}, "
        f"{datetime.date.today():%d %B %Y}. Made by `python3 bench/compare_scaling.py --rounds {args.rounds}`: medians of "
        f"runs in turns; serving is that of llama-160m at q8_0. Wanted: {TARGET} of what the probe gains.", "",
        "| work | 1 thread | 2 threads | ratio | the probe's | of it |", "|---|---|---|---|---|---|"]
    met = True
    for name, by_threads in ran.items():
        rates = {n: statistics.median(rate for rate, _ in runs) for n, runs in by_threads.items()}
        probes = {n: statistics.median(probe for _, probe in runs) for n, runs in by_threads.items()}
        ratio, probed = rates[2] / rates[1], probes[2] / probes[1]
        met = met and ratio >= TARGET * probed
        lines.append(f"| {name} | {rates[1]:.0f} | {rates[2]:.0f} | {ratio:.2f} | {probed:.2f} | {ratio / probed:.2f} |")
    (ROOT / "bench" / "results" / "scaling.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
