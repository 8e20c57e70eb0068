"""Writes the fixtures as GGUF files with `ashlar convert` and lets llama.cpp go on from their goldens'
prompts: same greedy tokens for f32 and f16; for quantised files another token only where the two
best are nearer to each other than twice the logits differ. Run by tools/oracles.sh llamacpp.

    python tests/oracles/llamacpp_models.py [MODEL_FOLDER...]
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import llama_cpp
import llama_cpp.llama_cpp as library
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
ASHLAR = os.environ.get("ASHLAR_BINARY", str(ROOT / "build" / "release" / "ashlar"))
TYPES = ["f32", "f16", "bf16", "q8_0", "q4_0", "q4_k_m", "q6_k"]
NEW_TOKENS = 8
default_params = library.llama_model_default_params


def plain_params():
    """Without the CPU's own layouts of weights: their AMX kernels fault where AMX is not permitted."""
    params = default_params()
    params.use_extra_bufts = False
    return params


library.llama_model_default_params = plain_params


def ashlar(*args):
    run = subprocess.run([ASHLAR, *args], check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return json.loads(run.stdout)


def our_logits(model, ids):
    answer = ashlar("logits", str(model), "--ids", ",".join(map(str, ids)), "--json")
    return np.array(answer["logits"], np.float64)


def compare(model, gguf, prompt, exact):
    """Follows llama.cpp's greedy tokens and asks for our logits at each."""
    llama = llama_cpp.Llama(str(gguf), n_ctx=128, n_threads=1, logits_all=True, verbose=False,
                            type_k=0, type_v=0)  # a cache in f32
    ids, worst, faults = list(prompt), 0.0, []
    for _ in range(NEW_TOKENS):
        llama.reset()
        llama.eval(ids)
        theirs = np.array(llama.scores[len(ids) - 1], np.float64)
        ours = our_logits(gguf, ids)
        error = float(np.abs(ours - theirs).max())
        worst = max(worst, error)
        top = np.sort(theirs)[::-1]
        if theirs.argmax() != ours.argmax() and (exact or top[0] - top[1] >= 2 * error):
            faults.append(f"token {len(ids)}: {ours.argmax()}, llama.cpp {theirs.argmax()}")
        ids.append(int(theirs.argmax()))
    llama.close()
    return worst, faults


def main():
    models = sys.argv[1:] or [ROOT / "tests/fixtures/models" / name
                              for name in ("llama", "llama2", "mixtral", "gpt2")]
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for model in map(pathlib.Path, models):
            golden = json.loads((model / "golden.json").read_text())
            prompt = golden["generate"][0]["prompt_ids"]
            for kind in TYPES:
                gguf = pathlib.Path(folder) / f"{model.name}-{kind}.gguf"
                ashlar("convert", str(model), str(gguf), "--quant", kind, "--json")
                worst, faults = compare(model, gguf, prompt, kind in ("f32", "f16"))
                print(f"{model.name:10} {kind:7} logits differ by at most {worst:.2e}",
                      *faults, sep="; " if faults else " ", flush=True)
                failed += bool(faults)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
