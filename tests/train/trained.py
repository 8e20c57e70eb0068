"""Runs `ashlar train` on small models and reads what it wrote: for the tests of many ranks."""
import json
import math
import os
import pathlib
import re
import struct
import subprocess
import array

FIXTURES = pathlib.Path(__file__).resolve().parents[1] / "fixtures" / "models"
LICENSE = pathlib.Path(__file__).resolve().parents[2] / "LICENSE"
SHAPE = ["model.layers=4", "model.width=32", "model.heads=4"]
MODELS = {
    "llama": ["model.family=llama", "model.kv_heads=2", "model.ffn=48", *SHAPE],
    # Grouped matrices of experts, a balance loss apart.
    "mixtral": ["model.family=mixtral", "model.kv_heads=2", "model.ffn=24", "model.experts=4", "model.experts_per_token=2",
                "moe.aux_loss_coef=0.02", *SHAPE],
    # Tied head, learned positions, biases, dropout.
    "gpt2": ["model.family=gpt2", "model.ffn=64", "train.dropout=0.1", *SHAPE],
}
STEPS = 20


def arguments(folder, model, layout):
    """The command of a run in `folder`; `layout` holds key=value overrides."""
    settings = {"train.steps": STEPS, "train.batch": 8, "train.microbatch": 1, "train.seq": 16, "train.lr": "1e-3",
                "valid.every": 0, "run.peak_flops": "1e11", "run.threads": 1, "run.dir": folder / "run",
                "data.train": LICENSE, "data.tokenizer": FIXTURES / "llama", "data.cache": folder.parent / "tokens"}
    settings.update(word.split("=", 1) for word in layout if word[0] != "-")
    flags = [word for word in layout if word[0] == "-"]
    return [os.environ["ASHLAR_BINARY"], "train", *MODELS[model], *(f"{k}={v}" for k, v in settings.items()), *flags]


def train(folder, model, layout=(), timeout=120):
    """Runs to the end, whatever it is: the process's result."""
    folder.mkdir(parents=True, exist_ok=True)
    return subprocess.run(arguments(folder, model, layout), capture_output=True, text=True, timeout=timeout)


def ranks(layout):
    """How many ranks the mesh of a layout has."""
    return math.prod(int(word.split("=")[1]) for word in layout if word.startswith("mesh."))


def data_ranks(layout):
    """Ranks that take sequences of their own."""
    return math.prod(int(word.split("=")[1]) for word in layout if word.split("=")[0] in ("mesh.data", "mesh.expert"))


def microbatch(model, words):
    """Two microbatches a rank, where there is a choice; a pipeline has as many as can be. A mixture's balance loss is
    taken over the rows that are routed at once, on all ranks together, and ranks share out the batch before they cut
    it: it is comparable where all of the batch is routed at once."""
    rows = 8 // data_ranks(words)
    if model == "mixtral":
        return [f"train.microbatch={rows}"]
    chosen = any(word.startswith(("mesh.pipe", "train.microbatch")) for word in words)
    return [] if chosen else [f"train.microbatch={max(1, rows // 2)}"]


def metrics(folder):
    return [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]


def record(folder):
    """What the run said of itself at its start."""
    return json.loads((folder / "run" / "record.jsonl").read_text().splitlines()[-1])


def weights(folder):
    """The tensors of the last checkpoint, by name: lists of floats."""
    tensors = {}
    for path in (folder / "run" / "checkpoints" / f"step-{STEPS}").glob("*.safetensors"):
        data = path.read_bytes()
        size, = struct.unpack("<Q", data[:8])
        for name, entry in json.loads(data[8:8 + size]).items():
            if name == "__metadata__":
                continue
            assert entry["dtype"] == "F32", entry
            begin, end = entry["data_offsets"]
            tensors[name] = array.array("f", data[8 + size + begin:8 + size + end])
    return tensors


def check_equal(found, wanted, tolerance=1e-5):
    """Loss and gradient norm of every step, and what was learnt, equal another run's."""
    rows, goal = metrics(found), metrics(wanted)
    assert [row["step"] for row in rows] == [row["step"] for row in goal]
    for row, want in zip(rows, goal):
        for key in "loss", "aux_loss", "grad_norm", "lr":
            assert row[key] == (want[key] if tolerance == 0 else _near(want[key], tolerance)), (key, want["step"])
    tensors, wanted_tensors = weights(found), weights(wanted)
    assert tensors.keys() == wanted_tensors.keys()
    for name, want in wanted_tensors.items():
        have = tensors[name]
        assert len(have) == len(want), name
        if name.endswith("attn.c_attn.bias"):
            continue  # the gradient of a key's bias is 0 but for noise, which Adam amplifies
        norm = math.sqrt(sum(x * x for x in want))
        difference = math.sqrt(sum((x - y) ** 2 for x, y in zip(have, want)))
        # Elements whose gradient is noise count here too, which the double runs of layout_test.cc leave out.
        assert difference <= 2 * tolerance * norm, (name, difference, norm)


def _near(value, tolerance):
    class Near:
        def __eq__(self, other):
            return abs(other - value) <= tolerance * abs(value)

        def __repr__(self):
            return f"{value} +- {tolerance}"
    return Near()


def refusal(result):
    """The one line of a run that was refused before its start; None where it was not."""
    if result.returncode != 2:
        return None
    lines = result.stderr.splitlines()  # nothing else was said: it came before all work
    assert len(lines) == 1 and re.match(r"ashlar: config [\w.]+: ", lines[0]), result.stderr
    return lines[0]


def last_words(result):
    return "\n".join(result.stderr.splitlines()[-5:])
