#!/usr/bin/env python3
"""Our attention against torch's scaled_dot_product_attention, in turns in one run on the same shapes.

usage: attention_vs_torch.py BENCH [--isa TIER] [--threads 2] [--rounds 5] [--seconds 0.2] [--only TEXT]
BENCH is the program attention_bench; without torch it runs itself by a Python that has it. Each round
times both for some tenths of a second; the ratio is that of the fastest calls (> 1: we are faster).
With one thread both are timed by the processor time of the thread, which other programs disturb less.
torch gets its tensors as [sequences, heads, length, dim] views of [sequences, length, heads, dim], as a
model leaves them, and contiguous caches in decode.
"""
import argparse
import os
import subprocess
import time

from oracles_venv import enter

enter("torch")
os.environ.setdefault("KMP_BLOCKTIME", "0")  # torch's threads do not spin while ours work
os.environ.setdefault("GOMP_SPINCOUNT", "0")
import torch  # noqa: E402  (after the environment)
from torch.nn.functional import scaled_dot_product_attention  # noqa: E402

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
# name, kinds, sequences, length, heads, kv heads, head dim: as in attention_bench.cc
SHAPES = [
    ("char-10m", ("forward", "backward"), 12, 256, 6, 6, 64),
    ("llama-60m", ("forward", "backward"), 1, 1024, 8, 4, 64),
    ("gpt2-124m", ("forward", "backward"), 1, 1024, 12, 12, 64),
    ("llama-60m", ("decode",), 16, 4096, 8, 4, 64),
    ("gpt2-124m", ("decode",), 4, 4096, 12, 12, 64),
    ("8b, 1 user", ("decode",), 1, 4096, 32, 8, 128),
]


def timed(f, budget, clock):
    f()
    best, end, calls = float("inf"), time.monotonic() + budget, 0
    while time.monotonic() < end or calls < 3:
        start = clock()
        f()
        best, calls = min(best, clock() - start), calls + 1
    return best


def torch_call(kind, seqs, length, heads, kv_heads, dim, dtype):
    def tensor(rows, n, kind_dtype=dtype):
        return torch.rand(seqs, rows, n, dim).sub_(0.5).to(kind_dtype).transpose(1, 2)

    gqa = heads != kv_heads
    if kind == "decode":
        q = tensor(1, heads)
        k, v = tensor(length, kv_heads).contiguous(), tensor(length, kv_heads).contiguous()
        return lambda: scaled_dot_product_attention(q, k, v, enable_gqa=gqa)
    q, k, v = (tensor(length, n).requires_grad_(kind == "backward") for n in (heads, kv_heads, kv_heads))
    if kind == "forward":
        return lambda: scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=gqa)
    out = scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=gqa)
    d_out = torch.rand_like(out)
    return lambda: torch.autograd.grad(out, (q, k, v), d_out, retain_graph=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("bench")
    parser.add_argument("--isa")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.2)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    clock = time.thread_time if args.threads == 1 else time.perf_counter
    command = [args.bench, "--serve", "--threads", str(args.threads)]
    if args.isa:
        command += ["--isa", args.isa]
    ours = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    print(f"torch {torch.__version__}, {args.threads} threads, {args.isa or 'best tier'}: "
          "milliseconds of ours, of torch, ratio")
    for name, kinds, seqs, length, heads, kv_heads, dim in SHAPES:
        for dtype in ("f32", "bf16"):
            shape = f"{seqs} {length} {heads} {kv_heads} {dim}"
            line = f"{name:10} {shape:18} {dtype:4}"
            for kind in kinds:
                if args.only not in f"{name} {kind} {dtype}":
                    continue
                call = torch_call(kind, seqs, length, heads, kv_heads, dim, DTYPES[dtype])
                best_ours = best_torch = float("inf")
                for _ in range(args.rounds):
                    ours.stdin.write(f"{kind} {shape} {dtype} {args.seconds}\n")
                    ours.stdin.flush()
                    best_ours = min(best_ours, float(ours.stdout.readline().split()[0]))
                    best_torch = min(best_torch, timed(call, args.seconds, clock))
                line += (f"  {kind} {best_ours * 1e3:8.3f} {best_torch * 1e3:8.3f} "
                         f"{best_torch / best_ours:5.2f}")
            print(line, flush=True)
    ours.stdin.close()
    ours.wait()


main()
