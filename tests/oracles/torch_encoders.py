"""What transformers computes in float32 for encoders: the hidden states of two texts of one batch,
and of those with a head for masked tokens its logits, gradients and steps of AdamW, in the form of
golden.json (docs/verify.md). Weights and token ids are counter_values of their names, so they are not
stored; tests/models/encoder_models.cc makes the same ones.

    ./dev oracles torch_encoders        compare with tests/fixtures/encoders
    ./dev oracles torch_encoders --write
"""
import json
import pathlib
import sys
import tempfile

import torch
import transformers
from safetensors import safe_open
from safetensors.torch import save_file

from counter_values import counter_ids, counter_values

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "encoders"
LENGTHS, STRIDE, MATRIX_SCALE = [70, 9], 3, 0.25
ROWS = [0, 1, 8, 35, 69]
TOLERANCE = 1e-5  # of float32 on another machine
MASK, PLACES = 3, [2, 9, 10, 21]  # what hides tokens, and where
LR, BETAS, EPS, DECAY, CLIP, STEPS = 1e-3, (0.9, 0.95), 1e-8, 0.1, 1.0, 3

BERT = dict(model_type="bert", vocab_size=97, hidden_size=48, num_hidden_layers=3,
            num_attention_heads=4, intermediate_size=80, max_position_embeddings=128,
            type_vocab_size=2)
ROBERTA = BERT | dict(model_type="roberta", layer_norm_eps=1e-5, pad_token_id=1, type_vocab_size=1)
NOMIC = dict(model_type="nomic_bert", vocab_size=97, hidden_size=48, num_hidden_layers=3,
             num_attention_heads=4, intermediate_size=80, max_position_embeddings=128)
MODERN = dict(model_type="modernbert", vocab_size=97, hidden_size=48, num_hidden_layers=4,
              num_attention_heads=4, intermediate_size=80, max_position_embeddings=128,
              pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2)
# Name: class, config, keys of config.json that the file has under an older name.
CASES = {
    "bert": ("BertModel", BERT),
    "bert_relu": ("BertForMaskedLM", BERT | dict(hidden_act="relu", layer_norm_eps=1e-5,
                                                 type_vocab_size=3, num_attention_heads=3)),
    "roberta": ("RobertaModel", ROBERTA),
    "roberta_padding_5": ("RobertaForMaskedLM", ROBERTA | dict(
        pad_token_id=5, type_vocab_size=2, hidden_act="silu", tie_word_embeddings=False)),
    "xlm_roberta": ("XLMRobertaForMaskedLM", ROBERTA | dict(model_type="xlm-roberta")),
    "nomic": ("NomicBertModel", NOMIC),
    "nomic_theta": ("NomicBertForMaskedLM", NOMIC | dict(
        hidden_act="gelu", rope_parameters=dict(rope_type="default", rope_theta=10000.0))),
    "modernbert": ("ModernBertModel", MODERN | dict(local_attention=16)),
    "modernbert_biases": ("ModernBertForMaskedLM", MODERN | dict(
        attention_bias=True, mlp_bias=True, norm_bias=True, local_attention=7,
        hidden_activation="silu", classifier_bias=True, classifier_activation="relu",
        layer_types=["sliding_attention", "full_attention"] * 2,
        rope_parameters=dict(full_attention=dict(rope_type="default", rope_theta=50000.0),
                             sliding_attention=dict(rope_type="default", rope_theta=300.0)))),
}


def is_norm_weight(name):
    return name.endswith(".weight") and any(part in name.lower() for part in ("norm", "emb_ln"))


def build(kind, config):
    """The model, its config.json and the shapes of its file."""
    config = dict(config)
    hf = transformers.AutoConfig.for_model(config.pop("model_type"), **config)
    with tempfile.TemporaryDirectory() as folder:
        getattr(transformers, kind)(hf).save_pretrained(folder)
        path = pathlib.Path(folder) / "model.safetensors"
        with safe_open(path, "pt") as file:
            shapes = {name: list(file.get_slice(name).get_shape()) for name in file.keys()}
        tensors = {}
        for name, shape in shapes.items():
            scale, offset = (0.5, 1.0) if is_norm_weight(name) else (MATRIX_SCALE, 0.0)
            tensors[name] = torch.tensor(counter_values(name, tuple(shape), scale, offset))
        save_file(tensors, path, {"format": "pt"})
        load = dict(attn_implementation="eager", dtype=torch.float32)
        model = transformers.AutoModel.from_pretrained(folder, **load).eval()
        masked = kind.endswith("ForMaskedLM")
        head = getattr(transformers, kind).from_pretrained(folder, **load).eval() if masked else None
        written = json.loads((pathlib.Path(folder) / "config.json").read_text())
        written["dtype"] = "float32"
    return model, head, written, shapes


def file_names(model, shapes):
    """Parameters by their names in the file, which differ from those in memory for Nomic's."""
    named = {n: p for n, p in model.named_parameters()}
    return {n: named[n] for n in shapes if n in named}


def masked_golden(model, shapes):
    """Logits of one hidden token, and training on two rows."""
    rows = [(counter_ids(f"row{row}", 24, 80) + 10).tolist() for row in range(2)]
    inputs, targets = torch.tensor(rows), torch.full((2, 24), -100)
    for place in PLACES:
        targets[:, place] = inputs[:, place]
        inputs[0, place] = MASK
    with torch.no_grad():
        logits = model(inputs[:1]).logits[0, PLACES[1]]
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, betas=BETAS, eps=EPS,
                                  weight_decay=DECAY)
    steps, norms = [], {}
    for step in range(STEPS):
        optimizer.zero_grad()
        loss = model(inputs, labels=targets).loss
        loss.backward()
        if step == 0:
            norms = {n: float(f"{p.grad.norm().item():.7g}")
                     for n, p in file_names(model, shapes).items() if p.grad is not None}
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        steps.append([loss.item(), norm.item()])
        optimizer.step()
    return {"forward": {"ids": inputs[0].tolist(), "logits": {
                "position": PLACES[1], "values": [round(x, 6) for x in logits.tolist()]}},
            "train": {"input_ids": inputs.tolist(), "target_ids": targets.tolist(),
                      "cross_entropy": steps[0][0], "grad_norms": norms,
                      "adamw": {"lr": LR, "betas": BETAS, "eps": EPS, "weight_decay": DECAY,
                                "clip_norm": CLIP, "loss_and_grad_norm": steps}}}


def golden(kind, config):
    model, head, written, shapes = build(kind, config)
    longest, types = max(LENGTHS), config.get("type_vocab_size", 2)
    ids = torch.zeros(len(LENGTHS), longest, dtype=torch.long) + (config.get("pad_token_id") or 0)
    type_ids, mask = torch.zeros_like(ids), torch.zeros_like(ids)
    for row, length in enumerate(LENGTHS):
        ids[row, :length] = torch.tensor(counter_ids(f"tokens{row}", length, 80)) + 10
        type_ids[row, :length] = torch.tensor(counter_ids(f"types{row}", length, types))
        mask[row, :length] = 1
    inputs = dict(input_ids=ids, attention_mask=mask)
    if "modernbert" not in config["model_type"]:
        inputs["token_type_ids"] = type_ids
    with torch.no_grad():
        hidden = model(**inputs).last_hidden_state
    found = {
        "made_with": f"torch {torch.__version__.split('+')[0]}, "
                     f"transformers {transformers.__version__}, float32",
        "config": written, "tensors": shapes, "matrix_scale": MATRIX_SCALE, "types": types,
        "lengths": LENGTHS, "stride": STRIDE,
        "hidden": [{"row": r, "values": [round(x, 6) for x in hidden[0, r, ::STRIDE].tolist()]}
                   for r in ROWS]
                  + [{"row": LENGTHS[0] + r,
                      "values": [round(x, 6) for x in hidden[1, r, ::STRIDE].tolist()]}
                     for r in range(LENGTHS[1])],
    }
    if head is not None:
        found["golden"] = masked_golden(head, shapes)
    return found


def difference(found, stored):
    """The largest of numbers in two documents alike in all else."""
    if isinstance(stored, dict):
        assert found.keys() == stored.keys(), (found.keys(), stored.keys())
        return max((difference(found[k], stored[k]) for k in stored if k != "made_with"), default=0)
    if isinstance(stored, list):
        assert len(found) == len(stored)
        return max((difference(a, b) for a, b in zip(found, stored)), default=0)
    if isinstance(stored, float) and isinstance(found, (int, float)):
        return abs(found - stored)
    assert found == stored, (found, stored)
    return 0


def main():
    good = True
    for name, case in CASES.items():
        path = FOLDER / f"{name}.json"
        found = golden(*case)
        if "--write" in sys.argv:
            FOLDER.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(found) + "\n")
            print(f"{name}: {path.stat().st_size} bytes, first {found['hidden'][0]['values'][:3]}")
            continue
        worst = difference(found, json.loads(path.read_text()))
        good = good and worst < TOLERANCE
        print(f"{name}: largest difference {worst:.1e}", "ok" if worst < TOLERANCE else "DIFFERS")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
