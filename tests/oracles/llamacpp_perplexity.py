"""Trains a small model on English text, writes it as GGUF files, and holds the perplexity that `ashlar eval` finds to
that of llama.cpp on the same file and the same rows of tokens: within 0.1%.

    ./dev oracles llamacpp_perplexity [MODEL_FOLDER]
"""
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile

import llama_cpp
import numpy as np
from llamacpp_models import ASHLAR, ROOT

TEXT = ROOT.parent / "shared" / "data" / "tinyshakespeare.txt"
TOKENIZER = ROOT / "tests" / "fixtures" / "models" / "llama"
TYPES = ["f16", "q8_0", "q6_k", "q4_k_m", "q4_0"]
SEQ = 128
MOST = 1e-3  # of the perplexity


def ashlar(*args):
    return subprocess.run([ASHLAR, *map(str, args)], check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE).stdout


def train(folder, text):
    ashlar("train", f"data.train={text}", f"data.tokenizer={TOKENIZER}", f"data.cache={folder}/tokens",
           "model.family=llama", "model.width=256", "model.layers=2", "model.heads=4", "model.ffn=512",
           f"train.seq={SEQ}", "train.batch=8", "train.steps=200", "train.lr=2e-3", "valid.every=0",
           f"run.dir={folder}/run")
    return folder / "run" / "checkpoints" / "step-200"


def their_perplexity(file, rows):
    llama = llama_cpp.Llama(str(file), n_ctx=SEQ, n_batch=SEQ, logits_all=True, verbose=False)
    total = count = 0
    for row in rows:
        llama.reset()
        llama.eval(row[:-1])
        logits = np.array(llama.scores[:len(row) - 1], np.float64)
        best = logits.max(axis=1, keepdims=True)
        log_sum = best[:, 0] + np.log(np.exp(logits - best).sum(axis=1))
        total += (log_sum - logits[np.arange(len(row) - 1), row[1:]]).sum()
        count += len(row) - 1
    return math.exp(total / count)


def main():
    if not TEXT.exists():
        print(f"skipped: {TEXT.name} is not beside the project")
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        whole = TEXT.read_text()
        learnt, held = folder / "learnt.txt", folder / "held.txt"
        learnt.write_text(whole[:-20000])
        held.write_text(whole[-20000:])
        model = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else train(folder, learnt)
        ids = json.loads(ashlar("tokenize", "encode", model, "--file", held, "--json"))["ids"]
        ids.append(json.loads((model / "config.json").read_text())["eos_token_id"])  # a document ends
        # A row's last target is the next row's first token.
        rows = [ids[i:i + SEQ + 1] for i in range(0, len(ids) - 1, SEQ)]
        worst = 0
        for kind in TYPES:
            file = folder / f"{kind}.gguf"
            ashlar("convert", model, file, "--quant", kind)
            ours = json.loads(ashlar("eval", file, "--data", held, "--seq", SEQ, "--json"))["perplexity"]
            theirs = their_perplexity(file, rows)
            worst = max(worst, abs(ours / theirs - 1))
            print(f"{kind:7} Ashlar {ours:.4f}, llama.cpp {theirs:.4f}: {100 * (ours / theirs - 1):+.3f}%")
        if worst > MOST:
            raise SystemExit(f"perplexities differ by up to {100 * worst:.3f}%, wanted {100 * MOST}%")


if __name__ == "__main__":
    main()
