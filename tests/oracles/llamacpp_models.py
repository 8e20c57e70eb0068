"""Writes the fixtures as GGUF files with `ashlar convert` and lets llama.cpp go on from their goldens'
prompts: same greedy tokens for f32 and f16; for quantised files another token only where the two
best are nearer to each other than twice the logits differ. Then the same for a model of every family
that llama.cpp has an architecture for (family_folders.py makes them, with transformers).

    ./dev oracles llamacpp_models [MODEL_FOLDER...]
    ./dev oracles llamacpp_models --families [NAME...]
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
FAMILY_TYPES = ["f32", "f16", "q8_0", "q4_k_m"]
FAMILY_PROMPT = [5, 17, 42, 7, 88, 23, 64, 11, 3, 71, 29]
# After the usual prompt two tokens of starcoder2 in f16 come to 2e-4 of each other, while llama.cpp's
# table of GELU, in f16, moves its logits by ten times that. After this one no two come so near.
FAMILY_PROMPTS = {"starcoder2": FAMILY_PROMPT[::-1]}
WITHOUT_ARCHITECTURE = "llama.cpp has no architecture"
TORCH = ROOT / "build" / "oracles" / "venv" / "bin" / "python"
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


def run(model, prompt, types, folder):
    """How many types of the model's file differ in tokens."""
    failed = 0
    for kind in types:
        gguf = pathlib.Path(folder) / f"{model.name}-{kind}.gguf"
        ashlar("convert", str(model), str(gguf), "--quant", kind, "--json")
        worst, faults = compare(model, gguf, prompt, kind in ("f32", "f16"))
        print(f"{model.name:16} {kind:7} logits differ by at most {worst:.2e}",
              *faults, sep="; " if faults else " ", flush=True)
        gguf.unlink()
        failed += bool(faults)
    return failed


def fixtures(models, folder):
    failed = 0
    for model in map(pathlib.Path, models):
        golden = json.loads((model / "golden.json").read_text())
        failed += run(model, golden["generate"][0]["prompt_ids"], TYPES, folder)
    return failed


def families(names, folder):
    script = pathlib.Path(__file__).parent / "family_folders.py"
    made = pathlib.Path(folder) / "families"
    subprocess.run([str(TORCH), str(script), str(made), *names], check=True)
    failed = 0
    for model in sorted(made.iterdir()):
        try:
            # llama.cpp takes LongRoPE's long factors by its context, others by the text.
            long = 4 if model.name.endswith("_long") else 1
            prompt = FAMILY_PROMPTS.get(model.name, FAMILY_PROMPT) * long
            failed += run(model, prompt, FAMILY_TYPES, folder)
        except subprocess.CalledProcessError as error:
            message = error.stderr.decode().strip().splitlines()[-1]
            print(f"{model.name:16} {message}", flush=True)
            failed += WITHOUT_ARCHITECTURE not in message
        except Exception as error:  # llama.cpp does not load the file
            print(f"{model.name:16} {error!r}", flush=True)
            failed += 1
    return failed


def main():
    arguments = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        if arguments[:1] == ["--families"]:
            return 1 if families(arguments[1:], folder) else 0
        if arguments:
            return 1 if fixtures(arguments, folder) else 0
        small = [ROOT / "tests/fixtures/models" / name
                 for name in ("llama", "llama2", "mixtral", "gpt2")]
        return 1 if fixtures(small, folder) + families([], folder) else 0


if __name__ == "__main__":
    sys.exit(main())
