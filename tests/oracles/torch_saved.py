"""transformers loads what Ashlar saved, and computes the same: of a model of every family
(family_folders.py) a folder written by `ashlar convert`, one that went through GGUF where llama.cpp
has the architecture, and one that `ashlar train` went on from for some steps.

    ./dev oracles torch_saved [NAME...]
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

import family_folders

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
ASHLAR = os.environ.get("ASHLAR_BINARY", str(ROOT / "build" / "release" / "ashlar"))
IDS = [5, 17, 42, 7, 88, 23, 64, 11, 3, 71, 29, 8, 90, 55, 31, 2, 77]
TOLERANCE, STEPS = 1e-5, 3


def ashlar(*args):
    run = subprocess.run([ASHLAR, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if run.returncode != 0:
        raise RuntimeError(run.stderr.decode().strip().splitlines()[-1])
    return json.loads(run.stdout)


def our_logits(model):
    return np.array(ashlar("logits", str(model), "--ids", ",".join(map(str, IDS)), "--json")["logits"])


def their_logits(model):
    with torch.no_grad():
        return model(torch.tensor([IDS])).logits[0, -1].double().numpy()


def load(folder, kind):
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True,
        attn_implementation="sdpa" if kind == "falcon" else "eager")
    left = {k: v for k, v in info.items() if v and k != "error_msgs"}
    if left:
        raise RuntimeError(f"transformers reports {left}")
    return model.eval()


def write_corpus(folder):
    """Words that are tokens: a model of 96 has no room for an alphabet of bytes."""
    vocab = {f"w{i}": i for i in range(family_folders.VOCAB)}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="w3"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))
    random = np.random.default_rng(0)
    words = " ".join(f"w{i}" for i in random.integers(4, family_folders.VOCAB, 4000))
    (folder / "corpus.txt").write_text(words + "\n")


def train(model, folder, corpus):
    run = ashlar("train", f"model.from={model}", f"data.train={corpus / 'corpus.txt'}",
                 f"data.tokenizer={corpus / 'tokenizer.json'}", f"data.cache={folder / 'cache'}",
                 "train.seq=32", "train.batch=2", f"train.steps={STEPS}", "valid.every=0",
                 "train.lr=1e-3", f"run.dir={folder / 'run'}", "--json")
    return pathlib.Path(run["checkpoint"])


def apart(a, b):
    return float(np.abs(a - b).max() / max(1.0, np.abs(b).max()))


def check(name, folder, corpus):
    architecture, kind, _ = family_folders.CASES[name]
    source = folder / name
    wanted = their_logits(family_folders.save(name, source))
    found = {"read": apart(our_logits(source), wanted)}
    copy = folder / "copy"
    ashlar("convert", str(source), str(copy), "--json")
    found["copied"] = apart(their_logits(load(copy, kind)), wanted)
    if architecture:
        ashlar("convert", str(source), str(folder / "m.gguf"), "--json")
        ashlar("convert", str(folder / "m.gguf"), str(folder / "back"), "--json")
        found["through gguf"] = apart(their_logits(load(folder / "back", kind)), wanted)
    trained = train(source, folder, corpus)
    theirs = their_logits(load(trained, kind))
    found["trained"] = apart(our_logits(trained), theirs)
    if apart(theirs, wanted) < 1e-3:
        raise RuntimeError("training changed nothing")
    return found


def main():
    failed = 0
    with tempfile.TemporaryDirectory() as corpus:
        write_corpus(pathlib.Path(corpus))
        for name in sys.argv[1:] or family_folders.CASES:
            with tempfile.TemporaryDirectory() as folder:
                try:
                    found = check(name, pathlib.Path(folder), pathlib.Path(corpus))
                    bad = max(found.values()) > TOLERANCE
                    text = ", ".join(f"{k} {v:.1e}" for k, v in found.items())
                except Exception as error:
                    bad, text = True, str(error)
            failed += bad
            print(f"{name:18} {text}{'  TOO FAR' if bad else ''}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
