#!/usr/bin/env python3
"""Our gemm against torch.mm (oneDNN, MKL), in turns in one run on the same shapes.

usage: gemm_vs_torch.py BENCH [--isa TIER] [--threads 2] [--dtype f32|bf16] [--rounds 5] [--seconds 0.2]
                        [--only TEXT]
BENCH is the program gemm_bench; torch comes from the environment. Each round times both for some
tenths of a second; the ratio is that of the fastest calls (> 1: we are faster). With one thread
both are timed by the processor time of the thread, which other programs disturb less.
"""
import argparse
import os
import subprocess
import time

os.environ.setdefault("KMP_BLOCKTIME", "0")  # torch's threads do not spin while ours work
os.environ.setdefault("GOMP_SPINCOUNT", "0")
import torch  # noqa: E402  (after the environment)

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


def operands(kind, tokens, outputs, inputs, dtype):
    """The two matrices of torch.mm, and (m, n, r)."""
    x, w, dy = (torch.rand(*s, dtype=torch.float32).sub_(0.5).to(dtype)
                for s in ((tokens, inputs), (outputs, inputs), (tokens, outputs)))
    if kind == "forward":
        return x, w.t(), (tokens, outputs, inputs)
    if kind == "input_grad":
        return dy, w, (tokens, inputs, outputs)
    return dy.t(), x, (outputs, inputs, tokens)


def fastest(a, b, out, budget, clock):
    torch.mm(a, b, out=out)
    best, end, calls = float("inf"), time.monotonic() + budget, 0
    while time.monotonic() < end or calls < 3:
        start = clock()
        torch.mm(a, b, out=out)
        best, calls = min(best, clock() - start), calls + 1
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("bench")
    parser.add_argument("--isa")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.2)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    dtype = torch.float32 if args.dtype == "f32" else torch.bfloat16
    clock = time.thread_time if args.threads == 1 else time.perf_counter
    command = [args.bench, "--serve", "--threads", str(args.threads)]
    if args.isa:
        command += ["--isa", args.isa]
    ours = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    print(f"torch {torch.__version__}, {args.threads} threads, {args.dtype}, {args.isa or 'best tier'}: "
          "GFLOP/s of ours, of torch.mm, ratio")
    for name, tokens, outputs, inputs in LAYERS:
        if args.only not in name:
            continue
        line = f"{name:18} {tokens:5} x {outputs:5} x {inputs:4}"
        for kind in ("forward", "input_grad", "weight_grad"):
            a, b, (m, n, r) = operands(kind, tokens, outputs, inputs, dtype)
            out = torch.empty(m, n, dtype=dtype)
            best_ours = best_torch = float("inf")
            for _ in range(args.rounds):
                ours.stdin.write(f"{kind} {m} {n} {r} {args.dtype} {args.seconds}\n")
                ours.stdin.flush()
                best_ours = min(best_ours, float(ours.stdout.readline().split()[0]))
                best_torch = min(best_torch, fastest(a, b, out, args.seconds, clock))
            flop = 2e-9 * m * n * r
            line += f"  {kind} {flop / best_ours:6.1f} {flop / best_torch:6.1f} {best_torch / best_ours:5.2f}"
        print(line, flush=True)
    ours.stdin.close()
    ours.wait()


main()
