#!/usr/bin/env python3
"""One training run of PyTorch for compare_train.py: the model, the step and the counting that
`ashlar bench train` has. Prints one JSON object.

usage: torch_train.py --shape NAME --batch B --seq T [--dtype f32|bf16] [--steps 8] [--threads 2] [--compile] [--ddp]
A step is forward, loss, backward, clipping at 1.0 and fused AdamW; attention is
scaled_dot_product_attention. Two steps warm up, the median of the rest counts. --ddp: a rank that torchrun
started, over gloo; --batch is that of the job, and the first rank prints.
"""
import argparse
import json
import resource
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn

SHAPES = {  # vocabulary, width, layers, heads, heads of keys, inner width
    "char-10m": ("gpt2", 65, 384, 6, 6, 6, 1536),
    "gpt2-124m": ("gpt2", 50257, 768, 12, 12, 12, 3072),
    "llama-60m": ("llama", 32000, 512, 12, 8, 4, 1408),
}
WARM_UP = 2


def rotate(x, cos, sin):
    low, high = x.chunk(2, -1)
    return torch.cat([low * cos - high * sin, high * cos + low * sin], -1)


class Block(nn.Module):
    def __init__(self, gpt, width, heads, kv_heads, inner):
        super().__init__()
        norm = nn.LayerNorm if gpt else nn.RMSNorm
        self.gpt, self.heads, self.kv_heads, self.head = gpt, heads, kv_heads, width // heads
        self.norm1, self.norm2 = norm(width), norm(width)
        self.qkv = nn.Linear(width, (heads + 2 * kv_heads) * self.head, bias=gpt)
        self.out = nn.Linear(width, width, bias=gpt)
        self.up = nn.Linear(width, inner if gpt else 2 * inner, bias=gpt)
        self.down = nn.Linear(inner, width, bias=gpt)

    def forward(self, x, cos, sin):
        rows, seq, _ = x.shape
        sizes = [self.heads * self.head, self.kv_heads * self.head, self.kv_heads * self.head]
        q, k, v = (t.view(rows, seq, -1, self.head).transpose(1, 2)
                   for t in self.qkv(self.norm1(x)).split(sizes, -1))
        if not self.gpt:
            q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True,
                                           enable_gqa=self.heads != self.kv_heads)
        x = x + self.out(y.transpose(1, 2).reshape(rows, seq, -1))
        h = self.up(self.norm2(x))
        if self.gpt:
            return x + self.down(F.gelu(h, approximate="tanh"))
        gate, up = h.chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class Model(nn.Module):
    def __init__(self, shape, seq):
        super().__init__()
        family, vocab, width, layers, heads, kv_heads, inner = SHAPES[shape]
        gpt, head = family == "gpt2", width // heads
        self.embed = nn.Embedding(vocab, width)
        self.positions = nn.Embedding(seq, width) if gpt else None
        self.blocks = nn.ModuleList(Block(gpt, width, heads, kv_heads, inner) for _ in range(layers))
        self.norm = (nn.LayerNorm if gpt else nn.RMSNorm)(width)
        self.head = nn.Linear(width, vocab, bias=False)
        if gpt:
            self.head.weight = self.embed.weight
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, 0, 0.02)
        angles = torch.outer(torch.arange(seq).float(),
                             10000.0 ** (-torch.arange(0, head, 2).float() / head))
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())

    def forward(self, tokens, targets):
        h = self.embed(tokens)
        if self.positions is not None:
            h = h + self.positions.weight
        for block in self.blocks:
            h = block(h, self.cos, self.sin)
        logits = self.head(self.norm(h)).float()
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.view(-1))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", choices=SHAPES, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--seq", type=int, required=True)
    parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--ddp", action="store_true")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    model = Model(args.shape, args.seq)
    run, rank, ranks = torch.compile(model) if args.compile else model, 0, 1
    if args.ddp:
        torch.distributed.init_process_group("gloo")
        rank, ranks = torch.distributed.get_rank(), torch.distributed.get_world_size()
        run = nn.parallel.DistributedDataParallel(run)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, betas=(0.9, 0.95), weight_decay=0.1,
                                  fused=True)
    vocab = SHAPES[args.shape][1]
    tokens, targets = torch.randint(0, vocab, (2, args.batch // ranks, args.seq))
    seconds = []
    for _ in range(args.steps):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=args.dtype == "bf16"):
            loss = run(tokens, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    median = statistics.median_high(seconds[WARM_UP:])
    if rank == 0:
        print(json.dumps({"torch": torch.__version__, "step_ms": median * 1e3,
                          "tokens_per_s": args.batch * args.seq / median, "loss": loss.item(),
                          "parameters": sum(p.numel() for p in model.parameters()),
                          "peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}))
    if args.ddp:
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
