#!/usr/bin/env python3
"""Inference of Ashlar, llama.cpp and OpenVINO GenAI, in turns in one run on the same weights.

usage: compare_infer.py [--quick] [--models llama-160m,...] [--formats q8_0,q4_0,f16] [--works "decode 1,decode 8"]
                        [--rounds 3] [--threads N] [--ashlar build/release/ashlar] [--without openvino]
                        [--isa avx2|avx512] [--again]
Makes the models (random weights) and the peers' virtual environments below build/peers, then runs each work (prefill
of 512 tokens; decode of 1, 8 and 16 sequences; decode at a context of 4096) by each contestant in turns, and writes
bench/results/infer-TIER.md and .json: medians, ratios to the peers, shares of this machine's limit as `ashlar bench`
probes it in the same runs. --quick: llama-160m alone, without the long context. What was measured stays in
build/peers/infer.jsonl, so that a run that was cut off goes on where it was; --again forgets it. The table holds all
that has been measured so, whatever this run was asked for. --isa: Ashlar and llama.cpp are held to the instructions of
that tier, in an environment and results of their own (infer-TIER-held); OpenVINO cannot be held, so it is left out.
"""
import argparse
import datetime
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys

import tiers

ROOT = pathlib.Path(__file__).resolve().parent.parent
PEERS = ROOT / "build" / "peers"
MODELS = ["llama-160m", "qwen-0.5b-like", "tinyllama-1.1b"]
WORKS = {  # name: prompt, tokens, sequences, what counts
    "prefill 512": (512, 2, 1, "prefill_tokens_per_s"),
    "decode 1": (128, 64, 1, "decode_tokens_per_s"),
    "decode 8": (128, 32, 8, "decode_tokens_per_s"),
    "decode 16": (128, 32, 16, "decode_tokens_per_s"),
    "decode 1 at 4096": (4096, 32, 1, "decode_tokens_per_s"),
}


def run(command, environment=None):
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env={**os.environ, **(environment or {})})
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))} failed ({done.returncode}):\n{done.stderr[-2000:]}")
    return done.stdout


def llamacpp_build(isa):
    """The environment that builds llama.cpp for what this processor has, or for what the tier has of it. GCC 12 reorders
    its loads of AMX's settings (an illegal instruction follows), so AMX takes a newer clang; without one it is left
    out."""
    flags = set(pathlib.Path("/proc/cpuinfo").read_text().split("flags", 1)[1].split("\n", 1)[0].split())
    flags &= tiers.FLAGS.get(isa, flags)
    wanted = {"AVX": "avx", "AVX2": "avx2", "FMA": "fma", "F16C": "f16c", "BMI2": "bmi2", "AVX512": "avx512bw",
              "AVX512_VBMI": "avx512vbmi", "AVX512_VNNI": "avx512_vnni", "AVX512_BF16": "avx512_bf16"}
    environment = {"PIP_NO_CACHE_DIR": "1",  # a wheel that was built in another way
                   "CMAKE_BUILD_PARALLEL_LEVEL": str(len(os.sched_getaffinity(0)))}
    if shutil.which("clang-16"):
        environment |= {"CC": "clang-16", "CXX": "clang++-16"}
        wanted |= {"AMX_TILE": "amx_tile", "AMX_INT8": "amx_int8", "AMX_BF16": "amx_bf16"}
    switches = [f"-DGGML_{name}={'ON' if flag in flags else 'OFF'}" for name, flag in wanted.items()]
    return environment | {"CMAKE_ARGS": " ".join(["-DGGML_NATIVE=OFF", *switches])}


def venv(name, environment=None, suffix=""):
    folder = PEERS / (name + suffix)
    run([ROOT / "tools" / "venv.sh", folder, ROOT / "bench" / "peers" / f"requirements-{name}.txt"], environment)
    return folder / "bin"


class Contestants:
    def __init__(self, args):
        self.args = args
        self.llamacpp = venv("llamacpp", llamacpp_build(args.isa), suffix=args.isa and f"-{args.isa}")
        self.openvino = venv("openvino") if "openvino" not in args.without else None

    def prepare(self, model):
        self.folder = PEERS / model
        run([self.llamacpp / "python", ROOT / "bench" / "peers" / "write_model.py", model, self.folder, "--gguf",
             ",".join(self.args.formats)])
        if self.openvino and not (self.folder / "openvino" / "openvino_model.bin").exists():
            run([self.openvino / "optimum-cli", "export", "openvino", "-m", self.folder, "--task",
                 "text-generation-with-past", "--weight-format", "int8", self.folder / "openvino"],
                {"HF_HUB_OFFLINE": "1"})

    def commands(self, kind, work):
        prompt, tokens, sequences, _ = WORKS[work]
        flags = ["--prefill", prompt, "--decode", tokens, "--batch", sequences, "--threads", self.args.threads]
        file = self.folder / f"model-{kind}.gguf"
        peers = ROOT / "bench" / "peers"
        commands = {"ashlar": [self.args.ashlar, "bench", "infer", file, *flags, "--json"],
                    "llama.cpp": [self.llamacpp / "python", peers / "llamacpp_infer.py", file, *flags]}
        if self.openvino:
            commands["OpenVINO"] = [self.openvino / "python", peers / "openvino_infer.py",
                                    self.folder / "openvino", *flags]
        return commands


def cache_bytes(model, work):
    """Of keys and values, as f16, that a step of a decode reads, halfway through it."""
    prompt, tokens, sequences, _ = WORKS[work]
    config = json.loads((PEERS / model / "config.json").read_text())
    heads = config["num_attention_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    row = 2 * config["num_hidden_layers"] * config.get("num_key_value_heads", heads) * head_dim
    return 2 * row * sequences * (prompt + tokens / 2)


def limit(result, model, work):
    """Tokens a second that this machine's memory and multipliers allow."""
    _, _, sequences, _ = WORKS[work]
    rates = result["machine"]["probe"]
    peak = rates["f32_flops"]
    if result["dtype"].startswith("q"):
        peak = rates.get("int8_ops", peak)
    if result["dtype"].startswith("q4"):
        peak = rates.get("int4_ops", peak)
    seconds = [sequences * result["flops_per_token"] / peak]
    if work.startswith("decode"):
        seconds.append((result["matrix_bytes"] + cache_bytes(model, work)) / rates["read_bytes_per_s"])
        return sequences / max(seconds)
    return 1 / seconds[0]


def measure(args, models, works):
    log = PEERS / (f"infer-{args.isa}.jsonl" if args.isa else "infer.jsonl")
    if args.again:
        log.unlink(missing_ok=True)
    PEERS.mkdir(parents=True, exist_ok=True)
    done = {}
    if log.exists():
        for line in log.read_text().splitlines():
            entry = json.loads(line)
            done[tuple(entry["key"])] = entry["result"]
    contestants = Contestants(args)
    for model in models:
        contestants.prepare(model)
        for kind in args.formats:
            for work in works:
                for number in range(args.rounds):
                    for name, command in contestants.commands(kind, work).items():
                        key = (model, kind, work, name, number)
                        if key in done:
                            continue
                        try:
                            result = json.loads(run(command).strip().splitlines()[-1])
                        except RuntimeError as error:
                            print(error, file=sys.stderr)
                            result = {"failed": str(error)}
                        done[key] = result
                        with log.open("a") as out:
                            out.write(json.dumps({"key": key, "result": result}) + "\n")
                        rate = result.get(WORKS[work][3], 0)
                        print(f"{model} {kind} {work} round {number + 1} {name}: {rate:.1f} tokens/s",
                              file=sys.stderr, flush=True)
    return done


def summarise(done, args):
    rows = []
    for model in MODELS:
        for kind in dict.fromkeys(key[1] for key in done):
            for work in WORKS:
                field = WORKS[work][3]
                medians, ours = {}, []
                for name in ("ashlar", "llama.cpp", "OpenVINO"):
                    runs = [done.get((model, kind, work, name, number), {}) for number in range(args.rounds)]
                    rates = [one[field] for one in runs if field in one]
                    if rates:
                        medians[name] = statistics.median(rates)
                    if name == "ashlar":
                        ours = [one for one in runs if field in one]
                if not ours:
                    continue
                share = statistics.median(one[field] / limit(one, model, work) for one in ours)
                ratios = {name: medians["ashlar"] / rate for name, rate in medians.items() if name != "ashlar"}
                rows.append({"model": model, "format": kind, "work": work, "tokens_per_s": medians, "ratios": ratios,
                             "share_of_limit": share, "peak_bytes": max(one["peak_bytes"] for one in ours),
                             "machine": ours[-1]["machine"]})
    return rows


def write_results(rows, args):
    machine, date = rows[-1]["machine"], datetime.date.today().isoformat()
    revisions = ", ".join(dict.fromkeys(row["machine"]["revision"] for row in rows))
    stem = ROOT / "bench" / "results" / f"infer-{machine['isa']}{tiers.suffix(args.isa)}"
    stem.with_suffix(".json").write_text(json.dumps({"date": date, "results": rows}, indent=1) + "\n")
    probe = machine["probe"]
    quick = " --quick" if args.quick else ""
    lines = [
        "# Inference: Ashlar, llama.cpp and OpenVINO GenAI (int8)", "",
        f"{date}, {machine['cpu']}, {probe['threads']} threads, tier {machine['isa']}, Ashlar {machine['version']} "
        f"{revisions}. Probe of the machine: {probe['read_bytes_per_s'] / 1e9:.1f} GB/s read, "
        f"{probe['f32_flops'] / 1e9:.0f} GFLOP/s f32, {probe.get('int8_ops', 0) / 1e9:.0f} Gop/s int8, "
        f"{probe.get('int4_ops', probe.get('int8_ops', 0)) / 1e9:.0f} by codes of four bits.", "",
        f"Made by `python3 bench/compare_infer.py{quick}{tiers.flag(args.isa)} --rounds {args.rounds}`: in turns, {args.rounds} rounds, "
        "medians of tokens a second. The limit is what memory and multipliers allow, probed in the same runs; decode reads all weights and the cache.", "",
        "| model | format | work | Ashlar | llama.cpp | OpenVINO | to llama.cpp | to OpenVINO | share of limit |",
        "|---|---|---|---|---|---|---|---|---|"]

    def cell(values, name, digits):
        return f"{values[name]:.{digits}f}" if name in values else "-"

    for row in rows:
        rates, ratios = row["tokens_per_s"], row["ratios"]
        lines.append(f"| {row['model']} | {row['format']} | {row['work']} | {rates['ashlar']:.1f} | "
                     f"{cell(rates, 'llama.cpp', 1)} | {cell(rates, 'OpenVINO', 1)} | {cell(ratios, 'llama.cpp', 2)} | "
                     f"{cell(ratios, 'OpenVINO', 2)} | {100 * row['share_of_limit']:.0f}% |")
    stem.with_suffix(".md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def main():
    parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--models", default="")
    parser.add_argument("--formats", default="q8_0,q4_0")
    parser.add_argument("--works", default="", help=", ".join(WORKS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--ashlar", default=str(ROOT / "build" / "release" / "ashlar"))
    parser.add_argument("--without", default="")
    parser.add_argument("--isa", choices=tiers.HELD, default="")
    parser.add_argument("--again", action="store_true")
    args = parser.parse_args()
    tiers.hold(args.isa)
    if args.isa:
        args.without += ",openvino"
    args.formats = args.formats.split(",")
    models = args.models.split(",") if args.models else MODELS[:1] if args.quick else MODELS
    works = args.works.split(",") if args.works else [w for w in WORKS if not (args.quick and w.endswith("4096"))]
    for work in works:
        if work not in WORKS:
            parser.error(f"--works: {work} is none of {', '.join(WORKS)}")
    rows = summarise(measure(args, models, works), args)
    if not rows:
        sys.exit("compare_infer: nothing was measured")
    write_results(rows, args)


if __name__ == "__main__":
    main()
