#!/usr/bin/env python3
"""Prefill or decode of a model by OpenVINO GenAI's continuous batching; one JSON object.

usage: openvino_infer.py FOLDER [--prefill P] [--decode N] [--batch B] [--threads T] [--rounds 3]
FOLDER: what `optimum-cli export openvino --weight-format int8` made. Decode counts the steps behind the first.
"""
import json
import resource
import time

import numpy
import openvino
import openvino_genai
from peer_flags import peer_flags


class Session:
    def __init__(self, args):
        scheduler = openvino_genai.SchedulerConfig()
        scheduler.cache_size = 2
        scheduler.max_num_batched_tokens = 2048
        scheduler.enable_prefix_caching = False
        scheduler.dynamic_split_fuse = True
        self.pipeline = openvino_genai.ContinuousBatchingPipeline(
            args.model, scheduler, "CPU", {"INFERENCE_NUM_THREADS": args.threads})

    def generate(self, sequences, prompt, tokens):
        """Seconds of the whole and of its first step."""
        config = openvino_genai.GenerationConfig()
        config.max_new_tokens = config.min_new_tokens = tokens
        config.ignore_eos, config.do_sample = True, False
        handles = []  # dropping one cancels its request
        for sequence in range(sequences):
            ids = 5 + (numpy.arange(prompt, dtype=numpy.int64)[None] + 131 * sequence) * 7919 % 31990
            handles.append(self.pipeline.add_request(sequence, openvino.Tensor(ids), config))
        start, first = time.time(), None
        while self.pipeline.has_non_finished_requests():
            self.pipeline.step()
            first = first or time.time() - start
        whole = time.time() - start
        found = sum(len(handle.read_all()[0].generated_ids) for handle in handles)
        if found != sequences * tokens:
            raise SystemExit(f"OpenVINO wrote {found} tokens, wanted {sequences * tokens}")
        return whole, first


def main():
    args = peer_flags(__doc__)
    session = Session(args)
    session.generate(1, 32, 4)
    prefill, decode = [], []
    for _ in range(args.rounds):
        prefill.append(session.generate(1, args.prefill, 1)[0])
        whole, first = session.generate(args.batch, args.prefill, args.decode)
        decode.append((whole - first) / (args.decode - 1))
    print(json.dumps({
        "version": openvino_genai.__version__.split("-")[0],
        "prefill_tokens_per_s": args.prefill / min(prefill), "decode_tokens_per_s": args.batch / min(decode),
        "peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}))


if __name__ == "__main__":
    main()
