"""Writes an encoder of every family as GGUF with `ashlar convert` and lets llama.cpp embed texts: same
tokens, and vectors like those that Ashlar makes of the same file and, of f32 and f16, of the Hugging
Face folder. llama.cpp multiplies quantised weights by rounded activations, which its cosines allow for.

    ./dev oracles llamacpp_encoders [NAME...]
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import llama_cpp
import numpy as np

import llamacpp_models  # sets what llama.cpp may use of the CPU
from sentences import sentences

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TORCH = ROOT / "build" / "oracles" / "venv" / "bin" / "python"
LEAST = {"f32": 0.99999, "f16": 0.99999, "q8_0": 0.999, "q4_k_m": 0.998}  # cosines
TEXTS = sentences(20) + ["", " ", "  two  spaces and\tmore \n", "ＦＵＬＬ width ﬁ", "[MASK]<mask>.", "Ünïcödé ½",
                         "zero\u200bwidth", "日本語"]


def embed(model, texts):
    run = subprocess.run([llamacpp_models.ASHLAR, "embed", str(model), *texts, "--normalize", "--json"], check=True,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return np.array(json.loads(run.stdout)["embeddings"])


def tokens(model, text):
    run = subprocess.run([llamacpp_models.ASHLAR, "tokenize", "encode", str(model), "--json"], check=True,
                         input=text.encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return json.loads(run.stdout)["ids"]


def compare(folder, gguf, kind, texts):
    llama = llama_cpp.Llama(str(gguf), n_ctx=512, n_batch=512, n_ubatch=512, n_threads=1, embedding=True,
                            verbose=False)
    faults, plain = [], []
    for text in texts:
        theirs = llama.tokenize(text.encode(), special=True)
        if kind == "f32" and theirs != tokens(folder, text):
            faults.append(f"{text!r}: {tokens(folder, text)}, llama.cpp {theirs}")
        elif theirs == llama.tokenize(text.encode()):  # as llama-cpp-python embeds
            plain.append(text)
    wanted = np.array([llama.embed(text, normalize=True) for text in plain])
    llama.close()
    least = {}
    models = {"file": gguf} | ({"folder": folder} if kind in ("f32", "f16") else {})
    for name, model in models.items():
        least[name] = float((embed(model, plain) * wanted).sum(1).min())
        if least[name] < LEAST[kind]:
            faults.append(f"wanted at least {LEAST[kind]}")
    return least, faults


def main():
    failed = 0
    with tempfile.TemporaryDirectory() as made:
        made = pathlib.Path(made)
        script = pathlib.Path(__file__).parent / "encoder_folders.py"
        subprocess.run([str(TORCH), str(script), str(made), *sys.argv[1:]], check=True, stderr=subprocess.DEVNULL)
        for folder in sorted(made.iterdir()):
            for kind in LEAST:
                gguf = folder.with_suffix(f".{kind}.gguf")
                try:
                    llamacpp_models.ashlar("convert", str(folder), str(gguf), "--quant", kind, "--json")
                    least, faults = compare(folder, gguf, kind, TEXTS)
                    text = ", ".join(f"{name} {value:.7f}" for name, value in least.items())
                except Exception as error:
                    text, faults = getattr(error, "stderr", b"").decode().strip(), [repr(error)]
                print(f"{folder.name:12} {kind:7} smallest cosine: {text}", *faults, sep="; " if faults else " ",
                      flush=True)
                failed += bool(faults)
                gguf.unlink(missing_ok=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
