#!/usr/bin/env python3
"""Prefill or decode of a GGUF file by llama.cpp, through llama-cpp-python; one JSON object.

usage: llamacpp_infer.py MODEL.gguf [--prefill P] [--decode N] [--batch B] [--threads T] [--rounds 3]
As `ashlar bench infer` measures: prompts of P tokens one after the other, then N steps of one token of each of the
B sequences; the best of the rounds counts. Also the resident peak, and the seconds from start to the first token.
"""
import time

STARTED = time.time()

import json
import resource

import llama_cpp
from peer_flags import peer_flags


class Session:
    def __init__(self, args):
        llama_cpp.llama_backend_init()
        self.quiet = llama_cpp.llama_log_callback(lambda *_: None)
        llama_cpp.llama_log_set(self.quiet, None)
        self.model = llama_cpp.llama_model_load_from_file(
            args.model.encode(), llama_cpp.llama_model_default_params())
        if not self.model:
            raise SystemExit(f"llama.cpp cannot load {args.model}")
        vocab = llama_cpp.llama_model_get_vocab(self.model)
        self.vocab = llama_cpp.llama_vocab_n_tokens(vocab)
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = args.batch * (args.prefill + args.decode + 8)
        params.n_batch = max(2048, args.prefill)
        params.n_ubatch = 512
        params.n_seq_max = args.batch
        params.n_threads = params.n_threads_batch = args.threads
        params.kv_unified = True
        self.context = llama_cpp.llama_init_from_model(self.model, params)
        self.memory = llama_cpp.llama_get_memory(self.context)

    def token(self, sequence, position):
        return (1 + sequence + position * 7919) % self.vocab

    def feed(self, items):
        """items: (sequence, position, whether its logits are wanted)."""
        batch = llama_cpp.llama_batch_init(len(items), 0, 1)
        batch.n_tokens = len(items)
        for i, (sequence, position, wanted) in enumerate(items):
            batch.token[i] = self.token(sequence, position)
            batch.pos[i], batch.n_seq_id[i] = position, 1
            batch.seq_id[i][0], batch.logits[i] = sequence, wanted
        if llama_cpp.llama_decode(self.context, batch) != 0:
            raise SystemExit("llama.cpp: llama_decode failed")
        llama_cpp.llama_synchronize(self.context)
        llama_cpp.llama_batch_free(batch)

    def prefill(self, args):
        llama_cpp.llama_memory_clear(self.memory, True)
        for sequence in range(args.batch):
            self.feed([(sequence, at, at == args.prefill - 1) for at in range(args.prefill)])

    def decode(self, args):
        for step in range(args.decode):
            self.feed([(sequence, args.prefill + step, True) for sequence in range(args.batch)])


def main():
    args = peer_flags(__doc__)
    session = Session(args)
    session.feed([(0, 0, True)])
    first_token = time.time() - STARTED
    prefill, decode = [], []
    session.prefill(args)  # pages and caches warm
    for _ in range(args.rounds):
        start = time.time()
        session.prefill(args)
        middle = time.time()
        session.decode(args)
        prefill.append(middle - start)
        decode.append(time.time() - middle)
    print(json.dumps({
        "version": llama_cpp.__version__, "first_token_s": first_token,
        "prefill_tokens_per_s": args.batch * args.prefill / min(prefill),
        "decode_tokens_per_s": args.batch * args.decode / min(decode),
        "peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}))


if __name__ == "__main__":
    main()
