#!/usr/bin/env python3
"""Our gemm against torch.mm (MKL; bf16: oneDNN), OpenBLAS (numpy) and oneDNN's f32 linear, in turns on the same shapes.

usage: compare_gemm.py [--bench build/release/bench/gemm_bench] [--isa TIER] [--threads 2] [--dtypes f32,bf16,int8]
                       [--rounds 3] [--seconds 0.2] [--only TEXT]
Builds gemm_bench. Without torch it runs itself by a Python that has it (oracles_venv.py). Each round times every
contestant for some tenths of a second; the fastest call of each counts. With one thread all are timed by the
processor time of the thread, which other programs disturb less. Writes bench/results/gemm-TIER.md (not with --only):
GFLOP/s, and ours by the best of the others', where 0.95 (bf16, int8: 0.9) is wanted. int8: activations of f32 by
weights of 8 bits that are packed once; ours are q8_0, with a scale for each 32, the others' have one for each output:
oneDNN's and FBGEMM's dynamic linear layers. oneDNN's bare product of bytes, which neither rounds nor scales, stands
beside them.
"""
import argparse
import datetime
import json
import os
import subprocess
import sys
import time

import tiers
from oracles_venv import ROOT, enter

enter("numpy", "torch")
THREADS = sys.argv[sys.argv.index("--threads") + 1] if "--threads" in sys.argv else "2"
os.environ.update({"KMP_BLOCKTIME": "0", "GOMP_SPINCOUNT": "0",  # their threads do not spin while ours work
                   "OPENBLAS_NUM_THREADS": THREADS})
tiers.hold(sys.argv[sys.argv.index("--isa") + 1] if "--isa" in sys.argv else "")
import numpy  # noqa: E402  (after the environment)
import torch  # noqa: E402

# name, tokens, outputs, inputs: as in gemm_bench.cc
LAYERS = [
    ("char-10m qkv", 3072, 1152, 384), ("char-10m out", 3072, 384, 384),
    ("char-10m up", 3072, 1536, 384), ("char-10m down", 3072, 384, 1536),
    ("char-10m head", 3072, 65, 384), ("llama-60m qkv", 1024, 1024, 512),
    ("llama-60m out", 1024, 512, 512), ("llama-60m gate+up", 1024, 2816, 512),
    ("llama-60m down", 1024, 512, 1408), ("llama-60m head", 1024, 32000, 512),
    ("gpt2 qkv", 1024, 2304, 768), ("gpt2 out", 1024, 768, 768),
    ("gpt2 up", 1024, 3072, 768), ("gpt2 down", 1024, 768, 3072),
    ("gpt2 head", 1024, 50257, 768), ("7b out", 1024, 4096, 4096),
]
BARE = "oneDNN, bytes alone"
DTYPES = "f32,bf16,int8"
KINDS = ("forward", "input_grad", "weight_grad")


def operands(kind, tokens, outputs, inputs, dtype):
    """The two matrices of a product."""
    x, w, dy = (torch.rand(*s, dtype=torch.float32).sub_(0.5).to(dtype)
                for s in ((tokens, inputs), (outputs, inputs), (tokens, outputs)))
    return {"forward": (x, w.t()), "input_grad": (dy, w), "weight_grad": (dy.t(), x)}[kind]


def contestants(kind, a, b):
    """Calls of the others, by name."""
    out = torch.empty(a.shape[0], b.shape[1], dtype=a.dtype)
    calls = {"torch.mm": lambda: torch.mm(a, b, out=out)}
    if a.dtype == torch.float32:
        left, right, result = a.numpy(), b.numpy(), out.numpy()
        calls["OpenBLAS"] = lambda: numpy.matmul(left, right, out=result)
        if kind == "forward":  # weights in oneDNN's own layout, as its users keep them
            x, w = a.to_mkldnn(), b.t().contiguous().to_mkldnn()
            calls["oneDNN"] = lambda: torch.nn.functional.linear(x, w)
    return calls


def int8_contestants(x, w):
    """Linear layers that round x to bytes, multiply and scale; x [tokens, inputs], w [outputs, inputs]."""
    calls, weight = {}, torch.quantize_per_channel(w, w.abs().amax(1) / 127, torch.zeros(len(w), dtype=torch.long), 0,
                                                      torch.qint8)
    for engine, name in (("onednn", "oneDNN"), ("fbgemm", "FBGEMM")):
        if engine not in torch.backends.quantized.supported_engines:
            continue
        torch.backends.quantized.engine = engine
        packed = torch.ops.quantized.linear_prepack(weight, None)
        calls[name] = lambda packed=packed, engine=engine: (
            setattr(torch.backends.quantized, "engine", engine), torch.ops.quantized.linear_dynamic(x, packed))
    codes, columns = (torch.randint(-127, 127, s, dtype=torch.int8) for s in (x.shape, w.shape))
    columns = columns.t()
    calls[BARE] = lambda: torch._int_mm(codes, columns)
    return calls


def fastest(call, budget, clock):
    call()
    best, end, calls = float("inf"), time.monotonic() + budget, 0
    while time.monotonic() < end or calls < 3:
        start = clock()
        call()
        best, calls = min(best, clock() - start), calls + 1
    return best


def compare(ours, kind, layer, dtype, args, clock):
    """Our seconds, and the others' by name."""
    a, b = operands(kind, *layer, torch.bfloat16 if dtype == "bf16" else torch.float32)
    calls = int8_contestants(a, b.t().contiguous()) if dtype == "int8" else contestants(kind, a, b)
    best, theirs, our_dtype = float("inf"), {}, "q8_0" if dtype == "int8" else dtype
    for _ in range(args.rounds):
        ours.stdin.write(f"{kind} {a.shape[0]} {b.shape[1]} {a.shape[1]} {our_dtype} {args.seconds}\n")
        ours.stdin.flush()
        best = min(best, float(ours.stdout.readline().split()[0]))
        for name, call in calls.items():
            theirs[name] = min(theirs.get(name, float("inf")), fastest(call, args.seconds, clock))
    return best, theirs


def table(ours, dtype, args, clock):
    wanted, int8 = 0.95 if dtype == "f32" else 0.9, dtype == "int8"
    lines = [f"## {dtype}: {wanted} wanted", "",
             "| layer | product | M x N x R | Ashlar | best of the others | which | ratio |" + (f" to {BARE} |" if int8 else ""),
             "|---|---|---|---|---|---|---|" + ("---|" if int8 else "")]
    ratios = []
    for name, *layer in LAYERS:
        if args.only not in name:
            continue
        for kind in KINDS[:1] if int8 else KINDS:
            best, theirs = compare(ours, kind, layer, dtype, args, clock)
            bare = theirs.pop(BARE, None)
            which = min(theirs, key=theirs.get)
            tokens, outputs, inputs = layer
            m, n, r = {"forward": (tokens, outputs, inputs), "input_grad": (tokens, inputs, outputs),
                       "weight_grad": (outputs, inputs, tokens)}[kind]
            flop = 2e-9 * m * n * r
            ratios.append(theirs[which] / best)
            lines.append(f"| {name} | {kind} | {m} x {n} x {r} | {flop / best:.0f} | {flop / theirs[which]:.0f} | {which} | "
                         f"{ratios[-1]:.2f} |" + (f" {bare / best:.2f} |" if int8 else ""))
            print(lines[-1], flush=True)
    reached = sum(ratio >= wanted for ratio in ratios)
    median = sorted(ratios)[len(ratios) // 2]
    return [*lines, "", f"{reached} of {len(ratios)} reach {wanted}; the median is {median:.2f}.", ""]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--bench", default=str(ROOT / "build" / "release" / "bench" / "gemm_bench"))
    parser.add_argument("--isa", choices=tiers.HELD, default="", help="all are held to it")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dtypes", default=DTYPES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.2)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    subprocess.run([ROOT / "tools" / "build.sh", "release", "gemm_bench", "ashlar"], check=True)
    torch.set_num_threads(args.threads)
    clock = time.thread_time if args.threads == 1 else time.perf_counter
    isa = ["--isa", args.isa] if args.isa else []
    ours = subprocess.Popen([args.bench, "--serve", "--threads", str(args.threads), *isa], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, text=True)
    machine = json.loads(subprocess.run([ROOT / "build" / "release" / "ashlar", "bench", "machine", "--json", *isa],
                                        check=True, capture_output=True, text=True).stdout)
    dtypes = f" --dtypes {args.dtypes}" if args.dtypes != DTYPES else ""
    text = [f"{machine['cpu']}, tier {machine['isa']}, {args.threads} threads, Ashlar {machine['version']} "
            f"{machine['revision']}, torch {torch.__version__}, numpy {numpy.__version__}, "
            f"{datetime.date.today():%-d %B %Y}. Made by `python3 bench/compare_gemm.py{tiers.flag(args.isa)}{dtypes} --rounds "
            f"{args.rounds}`: GFLOP/s of the fastest calls, in turns."]
    lines = ["# Matrix products", "", *text, ""]
    for dtype in args.dtypes.split(","):
        lines += table(ours, dtype, args, clock)
    ours.stdin.close()
    ours.wait()
    if args.only:  # no whole table
        return
    (ROOT / "bench" / "results" / f"gemm-{machine['isa']}{tiers.suffix(args.isa)}.md").write_text("\n".join(lines).rstrip() + "\n")


if __name__ == "__main__":
    main()
